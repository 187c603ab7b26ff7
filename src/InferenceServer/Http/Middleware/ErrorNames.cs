using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Http.Middleware;

/// <summary>
/// How a dialect calls what the engine's errors name. The one table of a dialect, attached to its endpoints as metadata; where none is
/// attached, names are the properties' in snake_case.
/// </summary>
/// <param name="nameOf">The path of an argument.</param>
internal sealed class ErrorNames(Func<Argument, string> nameOf)
{
    /// <summary>Every property by its name in snake_case.</summary>
    public static ErrorNames SnakeCase { get; } = new(argument => argument.Render(JsonNamingPolicy.SnakeCaseLower.ConvertName));

    /// <summary>The names that hold for a request.</summary>
    public static ErrorNames For(HttpContext context) => context.GetEndpoint()?.Metadata.GetMetadata<ErrorNames>() ?? SnakeCase;

    /// <summary>The path of an argument on the wire.</summary>
    public string Of(Argument argument) => nameOf(argument);

    /// <summary>The message of an error on the wire.</summary>
    public string Of(ErrorText text) => text.Render(nameOf, static value => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()));

    /// <summary>All that an error says: what is wrong, where several arguments are all their paths, and the setting whose limit was hit.</summary>
    public string Detail(InferenceException error)
    {
        var detail = Of(error.Text);
        if (error.Errors.Count > 1)
        {
            detail = $"{error.Errors.Count}{(error.Errors.Count == InferenceException.MaxErrors ? " or more" : "")} fields cannot be served: {string.Join(", ", error.Errors.Select(e => Of(e.Argument)))}. {detail}";
        }

        return error.Limit is { } limit ? $"{detail} (setting {SettingNames.Of(limit)})" : detail;
    }
}
