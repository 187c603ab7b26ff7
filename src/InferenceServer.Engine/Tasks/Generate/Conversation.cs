using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation.ChatTemplates;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.Generate;

/// <summary>A conversation as the text that a model goes on from, by its chat template.</summary>
/// <remarks>
/// A content is a text or a list of parts. Parts of text are joined by line breaks, unless the template goes through parts itself. An assistant's content may be missing
/// (it is empty then). What a user types that looks like a special token becomes one, as in the reference.
/// </remarks>
internal static partial class Conversation
{
    private static readonly Argument Messages = Argument.Of(nameof(GenerateRequest.Messages));
    private static readonly Argument Kwargs = Argument.Of(nameof(GenerateRequest.ChatTemplateKwargs));

    /// <summary>Renders the messages.</summary>
    /// <exception cref="InferenceException">The model has no template, or it refuses the messages; the message has the template's own words.</exception>
    public static string Render(Model model, GenerateRequest request, RequestContext context)
    {
        if (model.ChatTemplate is not { } template)
        {
            throw InferenceException.Unprocessable(Messages, $"{model.NoChatTemplate ?? $"The model {model.Manifest.Id} has no chat template."} So {Messages} cannot be rendered: send {Argument.Of(nameof(GenerateRequest.Prompt))}, or put a chat template into the model's folder.");
        }

        var started = Stopwatch.GetTimestamp();
        var messages = Checked(request.Messages!.Value, WalksParts().IsMatch(template.Source));
        var variables = Special(model);
        foreach (var (name, value) in Extra(request, variables))
        {
            variables[name] = value;
        }

        try
        {
            return template.Render(messages, addGenerationPrompt: true, variables, context.Cancellation);
        }
        catch (ChatTemplateException e)
        {
            throw new InferenceException(ErrorCode.Unprocessable, e.IsRaised ? $"The chat template of the model refuses {Messages}: {e.Message}" : (ErrorText)$"The chat template of the model fails on {Messages}: {e.Message}. Change them to what it expects.", Messages, e);
        }
        finally
        {
            context.AddTokenize(Stopwatch.GetElapsedTime(started));
        }
    }

    /// <summary>The special tokens that the folder names; others are undefined.</summary>
    private static Dictionary<string, JsonElement> Special(Model model)
    {
        var named = model.Tokenizer.Named;
        var variables = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var (role, token) in ((string, Tokenization.NamedToken?)[])[("bos", named.Bos), ("eos", named.Eos), ("unk", named.Unk), ("sep", named.Sep), ("pad", named.Pad), ("cls", named.Cls), ("mask", named.Mask)])
        {
            if (token is not null)
            {
                variables[role + "_token"] = JsonSerializer.SerializeToElement(token.Text);
            }
        }

        return variables;
    }

    private static IEnumerable<(string Name, JsonElement Value)> Extra(GenerateRequest request, Dictionary<string, JsonElement> special)
    {
        if (request.ChatTemplateKwargs is not { } given)
        {
            yield break;
        }

        if (given.ValueKind != JsonValueKind.Object)
        {
            throw InferenceException.Unprocessable(Kwargs, $"{Kwargs} must be an object of variables for the chat template.");
        }

        foreach (var member in given.EnumerateObject())
        {
            if (special.ContainsKey(member.Name) || member.Name is "messages" or "add_generation_prompt")
            {
                throw InferenceException.Unprocessable(Kwargs.Property(member.Name), $"{Kwargs} must not set '{member.Name}', which the server sets itself. Leave it out.");
            }

            yield return (member.Name, member.Value);
        }
    }

    private static JsonElement Checked(JsonElement messages, bool walksParts)
    {
        if (messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() == 0)
        {
            throw InferenceException.Unprocessable(Messages, $"{Messages} must be a list of at least one object with a role and a content.");
        }

        var checkedMessages = new List<Dictionary<string, object?>>();
        var i = 0;
        foreach (var message in messages.EnumerateArray())
        {
            var at = Messages[i++];
            if (message.ValueKind != JsonValueKind.Object || !message.TryGetProperty("role", out var role) || role.ValueKind != JsonValueKind.String)
            {
                throw InferenceException.Unprocessable(at, $"{at} must be an object with a role (a text) and a content.");
            }

            var copy = message.EnumerateObject().ToDictionary(member => member.Name, member => (object?)member.Value, StringComparer.Ordinal);
            copy["content"] = ContentOf(message, at, role.GetString()!, walksParts);
            checkedMessages.Add(copy);
        }

        return JsonSerializer.SerializeToElement(checkedMessages);
    }

    private static object? ContentOf(JsonElement message, Argument at, string role, bool walksParts)
    {
        var content = at.Property("Content");
        if (!message.TryGetProperty("content", out var given) || given.ValueKind == JsonValueKind.Null)
        {
            return role == "assistant" ? "" : throw InferenceException.Unprocessable(content, $"{content} is missing: send a text.");
        }

        if (given.ValueKind == JsonValueKind.String)
        {
            return given;
        }

        if (given.ValueKind != JsonValueKind.Array || given.GetArrayLength() == 0)
        {
            throw InferenceException.Unprocessable(content, $"{content} must be a text, or a list of at least one part of the type text.");
        }

        var texts = new List<string>();
        var j = 0;
        foreach (var part in given.EnumerateArray())
        {
            var place = content[j++];
            var type = part.ValueKind == JsonValueKind.Object && part.TryGetProperty("type", out var named) && named.ValueKind == JsonValueKind.String ? named.GetString()! : null;
            if (type is not "text" || !part.TryGetProperty("text", out var text) || text.ValueKind != JsonValueKind.String)
            {
                throw InferenceException.Unprocessable(place, type is null or "text"
                    ? $"{place} must be an object with the type text and a text."
                    : (ErrorText)$"{place} is a part of the type '{(type.Length > 40 ? type[..40] + "..." : type)}'; the model takes parts of the type text alone. Leave it out.");
            }

            texts.Add(text.GetString()!);
        }

        return walksParts ? given : string.Join('\n', texts);
    }

    // {% for part in message.content %}{% if part.type == 'text' %}
    [GeneratedRegex("""\[['"]type['"]\]|\.type\b""")]
    private static partial Regex WalksParts();
}
