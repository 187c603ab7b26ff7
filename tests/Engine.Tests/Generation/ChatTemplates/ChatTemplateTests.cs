using System.Text.Json;
using CsCheck;
using InferenceServer.Engine.Generation.ChatTemplates;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation.ChatTemplates;

/// <summary>The language of templates, expression by expression: right values are those of jinja2 3.1 with transformers' settings.</summary>
public sealed class ChatTemplateTests
{
    private const string Conversation = """[{"role": "system", "content": "S"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "<think>x</think>\n\ntwo  "}, {"role": "user", "content": "<tool>three"}]""";

    public static TheoryData<string, string> Expressions() => new()
    {
        // Values and printing
        { "{{ none }}{{ true }}{{ 1.0 }}{{ [1, 'a', none] }}{{ {'a': 'b'} }}{{ (1, 2) }}{{ (1,) }}", "NoneTrue1.0[1, 'a', None]{'a': 'b'}(1, 2)(1,)" },
        { "{{ 1e-7 }} {{ 1e16 }} {{ 123456789012345678901 }} {{ 0.1 + 0.2 }} {{ 100.0 }} {{ 1e22 }} {{ 0.0001 }}", "1e-07 1e+16 123456789012345678901 0.30000000000000004 100.0 1e+22 0.0001" },
        { "{{ 'it\\'s' }}{{ [\"it's\", 'a\"b', 'x\\ny'] }}", "it's[\"it's\", 'a\"b', 'x\\ny']" },
        { "{{ 'a' 'b' \"c\" }}{{ '\\u00e9\\x41' }}", "abcéA" },
        { "{{ undefined_name }}{{ 'x' if false }}{{ undefined_name is defined }}", "False" },
        // Operators
        { "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }}", "3 -4 1 2 1024 3.5 7 9" },
        { "{{ 'a' ~ 1 ~ none }}{{ 'ab' * 3 }}{{ [1] + [2] }}", "a1Noneababab[1, 2]" },
        { "{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'b' in 'abc' }}{{ 4 not in [1, 2] }}{{ 'a' in {'a': 1} }}{{ not 1 == 2 }}", "TrueFalseTrueTrueTrueTrue" },
        { "{{ 1 == 1.0 }}{{ true == 1 }}{{ '1' == 1 }}{{ [1, 2] == [1, 2] }}", "TrueTrueFalseTrue" },
        { "{{ 0 or 'x' }}{{ '' and 'y' }}{{ 1 and 'z' }}{{ none or none }}", "xzNone" },
        { "{{ 'a' if 1 else 'b' }}{{ 'a' if 0 else 'b' if 0 else 'c' }}", "ac" },
        { "{{ '%s-%d-%.2f' % ('a', 3, 1.5) }}{{ 'x%sx' % 5 }}", "a-3-1.50x5x" },
        // Items, attributes, slices
        { "{{ [1, 2, 3][0] }}{{ [1, 2, 3][-1] }}{{ [1, 2, 3][1:] }}{{ [1, 2, 3][::-1] }}{{ 'héllo'[1:3] }}{{ 'abc'[::-1] }}{{ [1, 2, 3, 4][-3:-1] }}", "13[2, 3][3, 2, 1]élcba[2, 3]" },
        { "{{ '😀a'|length }}{{ '😀a'[1] }}{{ '😀a'[0] }}", "2a😀" },
        { "{{ {'a': {'b': 1}}.a.b }}{{ {'a': 1}['a'] }}{{ {'items': 5}.items() | list }}{{ {'items': 5}['items'] }}{{ {'a': 1}.get('b', 2) }}{{ {'a': 1}.get('b') }}", "11[('items', 5)]52None" },
        { "{{ {'a': 1, 'b': 2}.keys() | list }}{{ {'a': 1}.values() | list }}{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "['a', 'b'][1]a=1;b=2;" },
        // Strings' methods
        { "{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a,b,c'.rsplit(',', 1) }}", "a|a|['a', 'b', 'c']|['a', 'b', 'c']|['a', 'b,c']|['a,b', 'c']" },
        { "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'a-b'.replace('-', '+') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'abc'.find('c') }}{{ 'abc'.find('x') }}{{ ', '.join(['a', 'b']) }}", "TrueTruea+bbba2-1a, b" },
        { "{{ 'hello world'.title() }}{{ 'hELLO'.capitalize() }}{{ 'a'.upper() }}{{ 'A'.lower() }}{{ 'a\\nb'.splitlines() }}{{ '{} {x}'.format(1, x=2) }}", "Hello WorldHelloAa['a', 'b']1 2" },
        // Filters
        { "{{ ' a ' | trim }}{{ [1, 2] | length }}{{ [3, 1, 2] | sort }}{{ [1, 2, 3] | sum }}{{ [1, 2] | first }}{{ [1, 2] | last }}{{ ['a', 'b'] | join('-') }}", "a2[1, 2, 3]612a-b" },
        { "{{ none | default('e') }}{{ none | default('e', true) }}{{ nothing | default('e') }}{{ (none or 'd') | default('e') }}", "Noneeed" },
        { "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | join(',') }}{{ messages | rejectattr('role', 'in', ['user', 'system']) | list | length }}", "one,<tool>three1" },
        { "{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1, 'a': 2} | items | list }}{{ [1, 1, 2] | unique | list }}{{ [1, 2, 3] | batch(2) | list }}", "[('a', 2), ('b', 1)][('b', 1), ('a', 2)][1, 2][[1, 2], [3]]" },
        { "{{ 'a\\nb' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'abc' | upper | lower | capitalize }}|{{ 3.7 | int }}{{ '5' | int }}{{ 3.14159 | round(2) }}{{ -5 | abs }}", "a\n    b|  a\n  b|Abc|353.145" },
        { "{{ [1, 2, 3] | map('string') | list }}{{ ['a', ''] | select | list }}{{ [1, 2, 3] | reject('odd') | list }}{{ 'abc' | reverse }}{{ '<a>' | e }}{{ [2, 1] | min }}{{ [2, 1] | max }}", "['1', '2', '3']['a'][2]cba&lt;a&gt;12" },
        { """{{ {'b': 1, 'a': [true, none, 1.0, 1e-7, 123456789012345678901], 'é': "<i> & ' / \\ 😀"} | tojson }}""", """{"b": 1, "a": [true, null, 1.0, 1e-07, 123456789012345678901], "é": "<i> & ' / \\ 😀"}""" },
        { "{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}" },
        // Tests
        { "{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is iterable }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ none is none }}{{ 1 is not none }}{{ x is undefined }}{{ true is true }}{{ 1 is eq 1 }}{{ [] is sequence }}", string.Concat(Enumerable.Repeat("True", 12)) },
        // Statements
        { "{% for i in range(3) %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{% if not loop.last %},{% endif %}{% endfor %}", "1TrueFalse,2FalseFalse,3FalseTrue" },
        { "{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1, 2, 3] if x > 1 %}{{ x }}{{ loop.index }}{% endfor %}", "none2132" },
        { "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}", "13" },
        { "{% for x in 'ab' %}{{ loop.previtem is defined }}{{ loop.nextitem }}{{ loop.cycle('x', 'y') }};{% endfor %}", "Falsebx;Truey;" },
        { "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}", "13" },
        { "{% set ns = namespace(n=0, s='') %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}x{{ a }}{% endset %}{{ c }}{% set d | upper %}y{% endset %}{{ d }}", "312x1Y" },
        { "{% macro f(a, b='B') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{% macro g() %}[{{ caller() }}]{% endmacro %}{% call g() %}in{% endcall %}", "1B1243[in]" },
        { "{% filter upper %}a{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}{% generation %}g{% endgeneration %}{% raw %}{{ x }}{% endraw %}{# comment #}", "A1g{{ x }}" },
        { "{% for m in messages recursive %}{{ m.role[0] }}{% endfor %}{{ messages[0]['content'] }}{{ messages[-1].role }}", "suauSuser" },
        // White space
        { "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc" },
        { "  {% if true %}\n    x\n  {% endif %}\ny", "    x\ny" },
        { "a {%- if true -%} b {%- endif -%} c", "abc" },
        { "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\n", "a\nb\n" },
        { "  {%+ if true %}x{% endif %}", "  x" },
        { "{{- ' a' -}} \n b", " ab" },
        { "{% for m in messages %}\n    {% if m.role == 'user' %}\n  <u>{{ m.content }}</u>\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\n<a>\n{% endif %}\n", "  <u>one</u>\n  <u><tool>three</u>\n<a>\n" },
        // Published templates' idioms
        { "{%- set ns = namespace(i=-1) -%}{%- for m in messages[::-1] -%}{%- if ns.i == -1 and m.role == 'user' and not m.content.startswith('<tool>') -%}{%- set ns.i = messages|length - 1 - loop.index0 -%}{%- endif -%}{%- endfor -%}{{- 'last=' ~ ns.i ~ '\\n' -}}{%- for m in messages[1:] -%}{{- m.role.upper() ~ ':' ~ m.content.split('</think>')[-1].lstrip('\\n').rstrip() ~ '|' -}}{%- endfor -%}", "last=1\nUSER:one|ASSISTANT:two|USER:<tool>three|" },
        { "{%- for m in messages -%}{%- if m.role == 'system' -%}{%- continue -%}{%- endif -%}{{- m.role ~ ';' -}}{%- if m.role == 'assistant' -%}{%- break -%}{%- endif -%}{%- endfor -%}", "user;assistant;" },
    };

    [Theory]
    [MemberData(nameof(Expressions))]
    public void An_expression_has_the_reference_s_value(string template, string expected) => Assert.Equal(expected, Render(template));

    [Theory]
    [InlineData("{{ raise_exception('No such role: ' ~ messages[0].role) }}", "No such role: system")]
    [InlineData("{{ messages[0].content.foo.bar }}", "line 1:*foo*")]
    [InlineData("{{ 1 + 'a' }}", "line 1:*int*str*")]
    [InlineData("a\n{{ nothing.x }}", "line 2:*nothing*")]
    [InlineData("{{ none.x.y }}", "line 1:*")]
    [InlineData("{{ nothing() }}", "line 1:*nothing*")]
    [InlineData("{{ [1].append(2) }}", "line 1:*append*namespace*")]
    [InlineData("{{ 1 | nofilter }}", "line 1:*nofilter*")]
    [InlineData("{{ 1 / 0 }}", "line 1:*zero*")]
    [InlineData("{{ ''.__class__.x }}", "line 1:*__class__*")]
    public void What_fails_says_why(string template, string message)
    {
        var failure = Assert.Throws<ChatTemplateException>(() => Render(template));
        Assert.Matches("^" + System.Text.RegularExpressions.Regex.Escape(message).Replace("\\*", ".*", StringComparison.Ordinal) + "$", failure.Message);
    }

    [Theory]
    [InlineData("{% include 'x' %}", "include")]
    [InlineData("{% if true %}a", "endif")]
    [InlineData("{{ 'a", "string")]
    [InlineData("a\n\n{{ ) }}", "line 3")]
    [InlineData("{% endfor %}", "endfor")]
    [InlineData("{{ a b }}", "b")]
    [InlineData("{# never closed", "comment")]
    public void What_is_no_template_is_refused_when_it_is_read(string template, string part) =>
        Assert.Contains(part, Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(template)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{% for i in range(1000000000) %}{% endfor %}")]
    [InlineData("{% for i in range(50000) %}{% for j in range(50000) %}{% endfor %}{% endfor %}")]
    [InlineData("{{ 'a' * 1000000000 }}")]
    [InlineData("{{ [1] * 1000000000 }}")]
    [InlineData("{{ 9 ** 99999999 }}")]
    [InlineData("{% set big = range(100000) | list %}{% for i in range(100000) %}{{ big | sum }}{% endfor %}")]
    [InlineData("{% set big = range(100000) | list %}{% for i in range(100000) %}{% if -1 in big %}{% endif %}{{ big[1:][0] }}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")]
    [InlineData("{{ 'a'.ljust(2000000000) }}")]
    [InlineData("{% set s = 'ab ' * 1000000 %}{% for i in range(100000) %}{{ s[i] }}{% endfor %}")]
    [InlineData("{% set s = 'ab ' * 1000000 %}{% for i in range(100000) %}{% set t = s.upper() %}{% endfor %}")]
    [InlineData("{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}")]
    public void A_bomb_is_refused(string template) => Assert.Throws<ChatTemplateException>(() => Render(template));

    [Theory]
    [InlineData("{{ ('ab ' * 1000000).split() | length }}", "1000000")]
    [InlineData("{{ ('ab ' * 1000000).rsplit(' ', 900000) | length }}", "900001")]
    [InlineData("{{ ('<' * 1000000) | striptags | length }}", "1000000")]
    [InlineData("{{ range(100000) | map('string') | unique | list | length }}", "100000")]
    public void A_long_text_takes_time_in_its_length(string template, string expected) => Assert.Equal(expected, Render(template)); // the square of it would be hours

    [Fact]
    public void Nesting_is_bounded_when_a_template_is_read()
    {
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + new string('(', 100_000) + " }}"));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(string.Concat(Enumerable.Repeat("{% if 1 %}", 100_000))));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + string.Concat(Enumerable.Repeat("not ", 100_000)) + "1 }}"));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + new string('-', 100_000) + "1 }}"));
    }

    [Fact]
    public void A_rendering_ends_when_it_is_cancelled()
    {
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        var template = ChatTemplate.Parse("{% for i in range(90000) %}{{ i }}{% endfor %}");
        Assert.Throws<OperationCanceledException>(() => template.Render(JsonDocument.Parse("[]").RootElement, false, new Dictionary<string, JsonElement>(), cancelled.Token));
    }

    [Fact]
    public void Dates_have_English_names_and_come_from_the_clock()
    {
        var time = new FakeTimeProvider(new DateTimeOffset(2024, 7, 6, 14, 5, 9, TimeSpan.Zero));
        time.SetLocalTimeZone(TimeZoneInfo.Utc);
        var template = ChatTemplate.Parse("{{ strftime_now('%Y-%m-%d|%d %b %Y|%A %B|%H:%M|%j|%%|%-d|%I %p|%Q') }}", time);
        Assert.Equal("2024-07-06|06 Jul 2024|Saturday July|14:05|188|%|6|02 PM|%Q", template.Render(JsonDocument.Parse("[]").RootElement, false, new Dictionary<string, JsonElement>(), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Variables_do_not_replace_the_messages()
    {
        var one = JsonDocument.Parse("1").RootElement;
        var template = ChatTemplate.Parse("{{ messages }}{{ add_generation_prompt }}{{ x }}{{ tools }}");
        Assert.Equal("[]True1None", template.Render(JsonDocument.Parse("[]").RootElement, true, new Dictionary<string, JsonElement> { ["messages"] = one, ["add_generation_prompt"] = one, ["x"] = one }, TestContext.Current.CancellationToken));
    }

    /// <summary>A template that was cut and changed anywhere renders, or fails as a template fails.</summary>
    [Fact]
    public void Any_template_renders_or_is_refused()
    {
        var sources = Expressions().Select(row => row.Data.Item1).ToArray();
        var small = new TemplateLimits { Steps = 20_000, Characters = 1 << 20, Entries = 1_000 };
        var rendered = 0;
        Gen.Select(Gen.Int[0, sources.Length - 1], Gen.Int[0, 1_000_000]).Sample(
            (which, number) =>
            {
                var random = new Random(number);
                var source = sources[which];
                for (var i = random.Next(1, 4); i > 0 && source.Length > 1; i--)
                {
                    var at = random.Next(source.Length);
                    var other = sources[random.Next(sources.Length)];
                    var from = random.Next(other.Length);
                    source = random.Next(3) switch
                    {
                        0 => source.Remove(at, Math.Min(source.Length - at, random.Next(1, 8))),
                        1 => source.Insert(at, other.Substring(from, Math.Min(other.Length - from, random.Next(1, 12)))),
                        _ => source.Remove(at, 1).Insert(at, "{}%#[]()|.-~'\\x1"[random.Next(16)].ToString()),
                    };
                }

                try
                {
                    ChatTemplate.Parse(source, null, small).Render(JsonDocument.Parse(Conversation).RootElement, true, new Dictionary<string, JsonElement>());
                    Interlocked.Increment(ref rendered);
                }
                catch (ChatTemplateException)
                {
                    // as it should
                }
            },
            iter: 20_000);
        Assert.InRange(rendered, 1_000, 20_000);
    }

    private static string Render(string template) =>
        ChatTemplate.Parse(template).Render(JsonDocument.Parse(Conversation).RootElement, true, new Dictionary<string, JsonElement>());
}
