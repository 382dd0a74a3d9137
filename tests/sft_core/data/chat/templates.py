"""Chat templates for the tests, each with something that a template may do."""

from sft_core.data.chat.choose import BUNDLED

CHATML = (BUNDLED / "chatml.jinja").read_text(encoding="utf-8")
"""Ours: marks what the assistant says."""

PLAIN_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The same text without marks, as most tokenizers bring it."""

BRACKETS = """{%- set ns = namespace(turns=0) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}
        {%- set ns.turns = ns.turns + 1 -%}
        [{{ ns.turns }}: {{ message['content'] | trim }}]
    {%- elif message['role'] == 'assistant' -%}
        {{ ' ' + message['content'] + eos_token }}
    {%- else -%}
        {{ raise_exception('no role ' + message['role']) }}
    {%- endif -%}
{%- endfor -%}
"""
"""Counts turns in a namespace, and refuses all roles but two. The generation prompt is empty."""

TOOLS = """{% if tools %}
# Tools
{% for tool in tools %}
{{ tool | tojson }}
{{ tool | tojson(indent=2) }}
{% endfor %}
{% endif %}
{% for message in messages %}
{% if message.tool_calls %}
call {{ message.tool_calls[0].function | tojson }}
{% else %}
{{ loop.index0 }} of {{ loop.length }}: {{ message.content }}
{% endif %}
{% endfor %}
"""
"""Writes JSON, and has block tags on lines of their own."""

LOOP_CONTROLS = """{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- continue %}
    {%- endif %}
    {%- if message.content == 'STOP' %}
        {%- break %}
    {%- endif %}
    {{- message.role[0] ~ '=' ~ message.content ~ ';' }}
{%- endfor %}
{%- if add_generation_prompt %}a={% endif %}
"""

FORGETFUL_THINKING = """{%- for message in messages %}
    {%- if message.role == 'assistant' and not loop.last %}
        {{- '<a>' + message.content.split('</think>')[-1] + '</a>' }}
    {%- else %}
        {{- '<' + message.role[0] + '>' + message.content + '</' + message.role[0] + '>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<a>' }}{% endif %}
"""
"""Drops the reasoning of earlier turns, like Qwen3's: a turn is rendered differently once another follows."""

MARKED_THINKING = """{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<u>' + message.content + '</u>' }}
    {%- elif loop.last %}
        {{- '<a>' }}{% generation %}{{- message.content + '</a>' }}{% endgeneration %}
    {%- else %}
        {{- '<a>' + message.content.split('</think>')[-1] + '</a>' }}
    {%- endif %}
{%- endfor %}
"""
"""The same, but it marks its last turn, so that spans need no comparison of renderings."""

SEPARATED = """{%- for message in messages %}{{ eos_token + '\\n' + message.content }}{% endfor %}
{%- if add_generation_prompt %}{{ eos_token + '\\n' }}{% endif %}"""
"""Writes its end token before each turn."""

INDENTED = """{% if messages %}
  {% for message in messages %}
    {% if message.role == 'user' %}
    > {{ message.content }}
    {% endif %}
  {% endfor %}
{% endif %}
"""
"""Relies on the white space around block tags to disappear."""

PROMISING = """{%- for message in messages %}{{ message.role[0] + ':' + message.content + ';' }}{% endfor %}
{%- if add_generation_prompt %}{{ 'a:<think></think>' }}{% endif %}"""
"""Its generation prompt promises an empty thinking block that no finished turn has."""

DEEPSEEK = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<｜User｜>' + message.content }}
    {%- elif message.role == 'assistant' %}
        {{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + eos_token }}
    {%- else %}
        {{- message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{% endif %}"""
"""DeepSeek R1's way: headers are special tokens without a line break, thoughts are never written, yet the generation
prompt opens them."""

LLAMA2 = """{%- set system = '' %}
{%- if messages[0].role == 'system' %}
    {%- set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- bos_token + '[INST] ' + (system if loop.index0 < 2 else '') + message.content.strip() + ' [/INST]' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}"""
"""Llama 2's way: no generation prompt but the end of the request, spaces on both sides of the answer."""

GLM = """{{- '[gMASK]<sop>' }}
{%- for message in messages %}
    {{- '<|' + message.role + '|>\\n' + message.content }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{% endif %}"""
"""GLM 4's way: a turn ends where the next one's header begins."""

OPENING = """{%- for message in messages %}
    {{- '<|' + message.role + '|>' + ('<think></think>' if message.role == 'assistant' else '') + message.content }}
    {{- eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|><think>\\n' }}{% endif %}"""
"""Nemotron's way: the prompt opens thoughts with a line break, a turn without thoughts closes them at once."""

ALTERNATING = """{%- for message in messages %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {{- '(' + message.role + ') ' + message.content + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '(assistant) ' }}{% endif %}"""

RETURNING = """{%- for message in messages %}
    {{- '<|start|>' + message.role + '<|message|>' + message.content }}
    {{- '<|return|>' if loop.last and message.role == 'assistant' and not add_generation_prompt else '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{% endif %}"""
"""Harmony's way: the last turn ends with another token than those before."""

DEFAULT_SYSTEM = """{%- if messages[0].role != 'system' %}{{- '<s>system\\nBe good.</s>\\n' }}{% endif %}
{%- for message in messages %}{{- '<s>' + message.role + '\\n' + message.content + '</s>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{- '<s>assistant\\n' }}{% endif %}"""

STRIPPING = """{%- for message in messages %}
    {{- '### ' + message.role + ':\\n' + message.content | trim + '\\n\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '### assistant:\\n' }}{% endif %}"""
"""Without special tokens, and the line breaks that it writes around a content it strips off the content first."""

LATE_SYSTEM = """{%- set system = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' %}
{%- for message in messages if message.role != 'system' %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + (system if loop.index >= loop.length - 1 else '') + message.content + '[/INST]' }}
    {%- else %}
        {{- ' ' + message.content + eos_token }}
    {%- endif %}
{%- endfor %}"""
"""Mistral's way: the system message moves to the last request."""

MARKLESS_END = """{%- for message in messages %}{{- message.role[0] + ': ' + message.content }}
    {%- if loop.last %}{{- eos_token }}{% else %}{{- '\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'a: ' }}{% endif %}"""
"""Ends only the last turn: where those before it end, nobody can tell."""
