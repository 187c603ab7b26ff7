using System.Text.Json;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>
/// A chat template: Jinja as transformers 4.57 renders it (<c>apply_chat_template</c>: an immutable sandbox with <c>trim_blocks</c>, <c>lstrip_blocks</c>, loop controls,
/// <c>raise_exception</c>, <c>strftime_now</c> and its own <c>tojson</c>). A template sees the values that it is given and nothing else; its steps, output and nesting are
/// bounded (<see cref="TemplateLimits"/>). Immutable, thread-safe.
/// </summary>
public sealed class ChatTemplate
{
    private readonly IReadOnlyList<Statement> statements;
    private readonly TimeProvider time;
    private readonly TemplateLimits limits;

    private ChatTemplate(string source, TimeProvider time, TemplateLimits limits)
    {
        Source = source;
        statements = TemplateParser.Read(source);
        this.time = time;
        this.limits = limits;
    }

    /// <summary>The template as it was written.</summary>
    public string Source { get; }

    /// <summary>Reads a template.</summary>
    /// <exception cref="ChatTemplateException">It is none, or uses what is not supported; the message names the line.</exception>
    public static ChatTemplate Parse(string source, TimeProvider? time = null) => Parse(source, time, new TemplateLimits());

    /// <summary>Reads a template that is rendered within these bounds.</summary>
    internal static ChatTemplate Parse(string source, TimeProvider? time, TemplateLimits limits) => new(source, time ?? TimeProvider.System, limits);

    /// <summary>Renders a conversation.</summary>
    /// <param name="messages">A list of objects with a role and a content.</param>
    /// <param name="addGenerationPrompt">Whether the template should open the assistant's turn.</param>
    /// <param name="variables">Further variables: the special tokens, tools, what a request adds. They do not replace the two above.</param>
    /// <param name="cancellation">Ends the rendering.</param>
    /// <exception cref="ChatTemplateException">The template refuses the conversation, fails on it, or is over a bound.</exception>
    public string Render(JsonElement messages, bool addGenerationPrompt, IReadOnlyDictionary<string, JsonElement> variables, CancellationToken cancellation = default)
    {
        var values = variables.ToDictionary(variable => variable.Key, variable => TemplateValues.Of(variable.Value), StringComparer.Ordinal);
        values["messages"] = TemplateValues.Of(messages);
        values["add_generation_prompt"] = addGenerationPrompt;
        values.TryAdd("tools", null);
        values.TryAdd("documents", null);
        return new TemplateInterpreter(limits, time, cancellation).Render(statements, values);
    }
}
