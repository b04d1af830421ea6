"""Two slow tools for the tools lab: a travel guide's weather and food.

They answer from a small table, as slowly as a real service on a bad day, and say in every answer
that it is sample data.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from xwe.core.nlp.tools.tool import tool

# As in the document that the lab rebuilds.
SERVICE_TAKES_S = 2.5

SAMPLE = "sample data of the tools lab, not a forecast / 工具实验室的示例数据，并非真实预报"

City = Annotated[str, "The city's name, 城市名，如 北京"]

_CITIES = {
    "beijing": "北京",
    "shanghai": "上海",
    "chengdu": "成都",
    "guangzhou": "广州",
    "hangzhou": "杭州",
    "xi'an": "西安",
    "xian": "西安",
}
_WEATHER = {
    "北京": ("晴", 18, 27, "北风 2 级"),
    "上海": ("多云", 21, 28, "东南风 3 级"),
    "成都": ("小雨", 19, 24, "微风"),
    "广州": ("雷阵雨", 25, 32, "南风 3 级"),
    "杭州": ("多云", 20, 29, "东风 2 级"),
    "西安": ("晴", 16, 28, "西北风 2 级"),
}
_FOOD = {
    "北京": ["北京烤鸭", "炸酱面", "豆汁焦圈", "涮羊肉"],
    "上海": ["小笼包", "生煎", "本帮红烧肉"],
    "成都": ["麻婆豆腐", "担担面", "钟水饺", "火锅"],
    "广州": ["肠粉", "虾饺", "云吞面"],
    "杭州": ["西湖醋鱼", "龙井虾仁", "片儿川"],
    "西安": ["肉夹馍", "羊肉泡馍", "凉皮"],
}


@tool(effect="read_only", timeout_s=10)
async def weather(city: City) -> dict[str, object]:
    """Today's weather in a city. 查询某城市今天的天气."""
    await asyncio.sleep(SERVICE_TAKES_S)
    name = _known(city, _WEATHER)
    if name is None:
        return _unknown(city, list(_WEATHER))
    sky, low, high, wind = _WEATHER[name]
    return {"city": name, "sky": sky, "low": low, "high": high, "wind": wind, "source": SAMPLE}


@tool(effect="read_only", timeout_s=10)
async def food(city: City) -> dict[str, object]:
    """What to eat in a city: its local dishes. 查询某城市的美食、小吃."""
    await asyncio.sleep(SERVICE_TAKES_S)
    name = _known(city, _FOOD)
    if name is None:
        return _unknown(city, list(_FOOD))
    return {"city": name, "dishes": _FOOD[name], "source": SAMPLE}


def _known(city: str, table: Mapping[str, object]) -> str | None:
    plain = city.strip().removesuffix("市")
    name = _CITIES.get(plain.lower(), plain)
    return name if name in table else None


def _unknown(city: str, known: list[str]) -> dict[str, object]:
    return {"city": city, "error": f"not in the lab's table, which has {', '.join(known)}"}


TRAVEL_TOOLS = (weather, food)
