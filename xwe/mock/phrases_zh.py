"""What the demo model says in Chinese."""

import re
from typing import Final

from xwe.mock.phrases import Kind, Phrases

_GREETING: Final = Kind(
    asked_for=re.compile(r"^\W*(你好|您好|嗨|哈喽|早上好|下午好|晚上好|在吗)"),
    bodies=(
        (
            "你好！很高兴看到流式输出正常工作。你可以试着让我：\n\n"
            "- **写一段代码**（例如“用 Python 并发请求三个网址”）\n"
            "- **列一份步骤**（例如“怎么部署一个 Flask 应用”）\n"
            "- **比较两样东西**（例如“线程和协程的区别”）"
        ),
        (
            "你好！这里的每个字都是按块从服务器推送过来的。接下来可以试试：\n\n"
            "1. 问一个“怎么做”的问题，看列表如何逐行出现；\n"
            "2. 让我写代码，看代码块如何生长；\n"
            "3. 在我说话的时候点“停止”，已经出现的文字会保留。"
        ),
    ),
)
_CODE: Final = Kind(
    asked_for=re.compile(
        r"代码|函数|脚本|编程|程序|bug|python|javascript|flask|asyncio", re.IGNORECASE
    ),
    bodies=(
        (
            "下面是一段可以运行的示例，演示如何同时等待几件事：\n\n"
            "```python\n"
            "import asyncio\n\n\n"
            "async def answer(question: str) -> str:\n"
            "    await asyncio.sleep(1)  # 真实的模型调用会在这里等待\n"
            '    return f"回答：{question}"\n\n\n'
            "async def main() -> None:\n"
            '    questions = ["天气", "美食", "路线"]\n'
            "    for reply in await asyncio.gather(*map(answer, questions)):\n"
            "        print(reply)\n\n\n"
            "asyncio.run(main())\n"
            "```\n\n"
            "三个问题一共只用一秒，因为它们是**同时**等待的。"
        ),
        (
            "先给出一个最小的例子，再按需要扩展：\n\n"
            "```python\n"
            "from xwe import LLMClient\n\n"
            "client = LLMClient()\n"
            'for delta in client.stream([{"role": "user", "content": "你好"}]):\n'
            '    print(delta.text, end="", flush=True)\n'
            "```\n\n"
            "要点：\n\n"
            "1. 客户端只创建一次，连接会被复用；\n"
            "2. 流要读完或者关闭，上游请求才会结束；\n"
            "3. 出错时先看异常的名字，它说明了原因。"
        ),
    ),
)
_STEPS: Final = Kind(
    asked_for=re.compile(r"怎么|如何|怎样|步骤|教程|方法|计划|安排"),
    bodies=(
        (
            "针对“{quote}”，可以按这样的步骤来：\n\n"
            "1. **明确目标**：用一句话写下做到什么程度算完成。\n"
            "2. **拆成小步**：每一步都能单独检查结果。\n"
            "3. **先做最不确定的一步**：越早知道行不行越好。\n"
            "4. **记录并回顾**：留下数据，下次才能比较。\n\n"
            "> 提示：步骤是模板，具体内容要由真正的模型来写。"
        ),
        (
            "“{quote}”可以分三个阶段：\n\n"
            "- **准备**：收集材料，列出限制条件；\n"
            "- **执行**：从最小的可用版本开始；\n"
            "- **检查**：对照最初的目标，决定停下还是继续。"
        ),
    ),
)
_COMPARE: Final = Kind(
    asked_for=re.compile(r"区别|对比|比较|不同|优缺点|哪个好|还是.*好"),
    bodies=(
        (
            "比较类的问题适合用表格回答：\n\n"
            "| 方面 | 前者 | 后者 |\n"
            "| --- | --- | --- |\n"
            "| 上手难度 | 较低 | 较高 |\n"
            "| 灵活程度 | 一般 | 很高 |\n"
            "| 适合场景 | 小而简单 | 大而长期 |\n\n"
            "表格内容是示例；真正的模型会就“{quote}”给出实际的比较。"
        ),
    ),
)
_STORY: Final = Kind(
    asked_for=re.compile(r"故事|诗|小说|续写|文案|写一[篇段首]"),
    bodies=(
        (
            "就以“{quote}”为题，写几句示例：\n\n"
            "> 夜里的服务器亮着一排小灯，\n"
            "> 字句一个接一个地穿过网线，\n"
            "> 有人在屏幕的另一端等待，\n"
            "> 而回答，正从第一个字开始。\n\n"
            "真正的模型会写得更长，也更贴合你的要求。"
        ),
    ),
)
_LIST: Final = Kind(
    asked_for=re.compile(r"推荐|列出|列举|有哪些|建议|清单|举例"),
    bodies=(
        (
            "关于“{quote}”，先列一份示例清单：\n\n"
            "- **稳妥之选**：多数人都会喜欢，不容易出错；\n"
            "- **性价比之选**：花费不高，效果够用；\n"
            "- **新奇之选**：值得一试，但要留有余地。\n\n"
            "清单的骨架是真的，具体条目要由真正的模型来填。"
        ),
    ),
)
_WHAT: Final = Kind(
    asked_for=re.compile(r"什么|为什么|为何|解释|介绍|说说|讲讲|是谁"),
    bodies=(
        (
            "要解释“{quote}”，真正的模型通常会这样组织：\n\n"
            "1. **一句话的定义**，让人先有个印象；\n"
            "2. **一个贴近生活的例子**，说明它怎样起作用；\n"
            "3. **常见的误解**，以及为什么不是那样。"
        ),
        (
            "“{quote}”可以从三个角度来看：\n\n"
            "- **它是什么**：先说清楚范围和边界；\n"
            "- **它为什么重要**：说明它解决了什么问题；\n"
            "- **接下来看什么**：给出进一步了解的方向。"
        ),
    ),
)

PHRASES: Final = Phrases(
    openings=(
        "我是 xwe 内置的演示模型，不是真正的大语言模型；下面的回答来自模板。",
        "（演示回答）我是 xwe 内置的演示模型，只会按模板作答，并不是真正的大语言模型。",
        "先说明一下：我是 xwe 自带的演示模型，不是真正的大语言模型，内容仅供演示。",
    ),
    nothing_asked="这次没有收到文字内容，请输入一个问题再试试。",
    heard="我收到了你的消息（{characters} 个字符）：「{quote}」",
    kinds=(_GREETING, _CODE, _COMPARE, _STEPS, _STORY, _LIST, _WHAT),
    general=(
        (
            "真正的模型看到“{quote}”，大概会这样回应：\n\n"
            "- 先**确认理解**，必要时追问一个细节；\n"
            "- 再给出**要点**，由重到轻排列；\n"
            "- 最后留下一个**可以马上动手的建议**。"
        ),
        (
            "就“{quote}”而言，一个好的回答会包含：\n\n"
            "1. 一个**直接的结论**；\n"
            "2. 支持它的**两三条理由**；\n"
            "3. 一句说明**什么情况下结论会变**的话。"
        ),
    ),
    turn="这是我们的第 {turn} 轮对话；上一轮你说的是「{earlier}」。",
    system="系统提示写着「{system}」，真正的模型会照此行事。",
    closings=(
        "想用真正的模型，请设置 `LLM_API_KEY`，或把 `LLM_BASE_URL` 指向你的服务，再重新启动。",
        "设置好 `LLM_API_KEY`（或者 `LLM_BASE_URL`）再重启，同一个页面就会由真正的模型来回答。",
    ),
    fillers=(
        "补充一点：这段文字只是为了达到要求的长度，好让你看清流式输出的节奏。",
        "继续演示：每一小块文字到达之后，页面就立刻显示，不必等整段回答完成。",
        "再多说一句：多个用户同时提问时，他们的等待是重叠的，而不是一个接一个。",
        "顺便一提：中文的每个字在 UTF-8 中占三个字节，即使被拆到两个数据包里，也会完整地显示。",
        "还可以留意：网络断开后重新连接，已经生成的内容不会丢失。",
    ),
    results="关于「{quote}」，{count} 个工具已经返回结果：",
    after_results="以上数据原样来自工具；真正的模型会把它们融成一段连贯的回答。",
)
