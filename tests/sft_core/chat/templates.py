"""Chat templates for the tests, each with something that a template may do."""

from sft_core.chat.choose import BUNDLED

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
