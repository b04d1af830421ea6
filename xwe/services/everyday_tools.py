"""Tools that help any model: the current time, and exact arithmetic."""

import ast
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from xwe.core.nlp.tools.tool import tool

# A power tower would keep a core busy for hours; no sensible question needs more.
MAX_EXPONENT = 1000
MAX_DIGITS = 4000

_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


@tool(effect="read_only", timeout_s=5)
async def current_time(
    timezone: Annotated[str, "An IANA name such as Asia/Shanghai; 时区"] = "Asia/Shanghai",
) -> dict[str, str]:
    """The date and time now. 查询现在的日期、时间、星期几."""
    try:
        now = datetime.now(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {timezone!r:.60}; try Asia/Shanghai") from error
    return {
        "timezone": timezone,
        "local": now.isoformat(timespec="seconds"),
        "utc": now.astimezone(UTC).isoformat(timespec="seconds"),
        "weekday": now.strftime("%A"),
    }


@tool(effect="read_only", timeout_s=5)
async def calculate(
    expression: Annotated[str, "Such as (3 + 4) * 2.5 ** 2; 算式"],
) -> str:
    """The exact value of an arithmetic expression. 计算一个算式等于多少."""
    text = expression.replace("×", "*").replace("÷", "/").replace("^", "**")
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an arithmetic expression: {expression!r:.80}") from error
    except (OverflowError, ZeroDivisionError) as error:
        raise ValueError(str(error)) from error
    return f"{text} = {value}"


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return node.value  # type: ignore[return-value] # an int or a float, as checked above
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > MAX_EXPONENT:
            raise ValueError(f"an exponent may be at most {MAX_EXPONENT}")
        value = _BINARY[type(node.op)](left, right)
        if isinstance(value, complex):
            raise ValueError("the result is not a real number")
        if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3:
            raise ValueError(f"the result has more than {MAX_DIGITS} digits")
        return value
    raise ValueError("only numbers, + - * / // % ** and brackets can be used")


EVERYDAY_TOOLS = (current_time, calculate)
