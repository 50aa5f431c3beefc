from hubless import agent


@agent
def hello(name: str) -> str:
    return f"hello {name}"
