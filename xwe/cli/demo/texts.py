"""What the demo says, in two languages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Every text of the demo; the names in braces are filled in where it is said."""

    starting: str
    setting: str
    users: str
    alone: str
    in_turn: str
    threads: str
    many_threads: str
    ratio: str
    honestly: str
    streams: str
    stream_prompts: tuple[str, str]
    stream_facts: str
    stream_turns: str
    batch: str
    batch_items: tuple[str, ...]
    batch_prompt: str
    batch_waits: str
    batch_runs: str
    batch_facts: str
    end: str
    interrupted: str


ENGLISH = Texts(
    starting="Starting the demo model ...",
    setting="Everything runs on this machine. The model is xwe's own demo model, in a process of "
    "its own; it takes {latency:g} s for an answer.",
    users="{count} users ask at the same moment",
    alone="one user alone",
    in_turn="blocking view",
    threads="1 thread",
    many_threads="a thread each",
    ratio="{count} users: {before:.1f} s one after another, {after:.1f} s at once, "
    "{ratio:.1f} times as fast.",
    honestly="Set-up: the demo itself serves each app on loopback; one call before each "
    "measurement is not counted. The blocking view calls requests.post on a server that has one "
    "thread, as gunicorn has unless told otherwise. The async views are given a thread for each "
    "open request, and their {count} calls wait on one event loop with one shared client. For ten "
    "users threads alone would do as well; what the loop saves at a thousand is in "
    "bench/RESULTS.md.",
    streams="Two answers are streamed side by side, in one thread",
    stream_prompts=("What is an event loop?", "How do threads wait?"),
    stream_facts="{name}: first piece after {first:.2f} s, {pieces} pieces in {seconds:.1f} s",
    stream_turns="The pieces took turns {turns} times.",
    batch="A batch of {count}, three at a time; the model refuses one",
    batch_items=("Aachen", "Bergen", "Atlantis", "Cádiz", "Dijon", "Essen"),
    batch_prompt="Where is {item}?",
    batch_waits="waits",
    batch_runs="asks",
    batch_facts="{good} answers and {bad} error in {seconds:.1f} s, each in its own place.",
    end="Done in {seconds:.0f} s. Next: `make run` for the page, examples/ for code, "
    "docs/migrate.md for your own app.",
    interrupted="Stopped.",
)

CHINESE = Texts(
    starting="正在启动演示模型……",
    setting="一切都在本机运行。模型是 xwe 自带的演示模型，运行在单独的进程里，"
    "每次回答用 {latency:g} 秒。",
    users="{count} 个用户同时提问",
    alone="单独一个用户",
    in_turn="阻塞视图",
    threads="1 个线程",
    many_threads="每请求一线程",
    ratio="{count} 个用户：逐个回答 {before:.1f} 秒，同时回答 {after:.1f} 秒，"
    "速度是 {ratio:.1f} 倍。",
    honestly="测量条件：每个应用由演示程序自己在本机回环地址上提供服务；每次测量前有一次调用不计入。"
    "阻塞视图调用 requests.post，服务器只有一个线程（gunicorn 的默认配置）。异步视图的服务器"
    "为每个未完成的请求分配一个线程，{count} 次调用在同一个事件循环上等待，共用一个客户端。"
    "只有十个用户时，单靠多线程也能做到；一千个用户时事件循环省下多少，见 bench/RESULTS.md。",
    streams="两个回答并排流式输出，只用一个线程",
    stream_prompts=("什么是事件循环？", "线程怎样等待？"),
    stream_facts="{name}：{first:.2f} 秒后收到第一段，{seconds:.1f} 秒内共 {pieces} 段",
    stream_turns="两边的片段交替了 {turns} 次。",
    batch="一批 {count} 项，每次三项；模型会拒绝其中一项",
    batch_items=("北京", "成都", "蓬莱", "大连", "恩施", "福州"),
    batch_prompt="{item}在哪里？",
    batch_waits="等待",
    batch_runs="提问中",
    batch_facts="{seconds:.1f} 秒得到 {good} 个回答和 {bad} 个错误，各在自己的位置上。",
    end="用时 {seconds:.0f} 秒。接下来：`make run` 打开页面，examples/ 看代码，"
    "docs/migrate.zh-CN.md 讲怎样迁移你的应用。",
    interrupted="已停止。",
)


def texts_for(environ: Mapping[str, str]) -> Texts:
    """Chinese where the locale is, English elsewhere."""
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return CHINESE if locale.lower().startswith("zh") else ENGLISH
