using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Names as a dialect in snake_case has them: of arguments, of messages, and of tasks (by their types).</summary>
internal static class Wire
{
    /// <summary>The argument at fault; null when there is none.</summary>
    public static string? Field(InferenceException error) => error.Argument is { } argument ? Field(argument) : null;

    /// <summary>An argument.</summary>
    public static string Field(Argument argument) => argument.Render(JsonNamingPolicy.SnakeCaseLower.ConvertName);

    /// <summary>The message. It has no name of a property in it, since every one of them is rendered.</summary>
    public static string Detail(InferenceException error) =>
        error.Text.Render(Field, static value => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()));

    /// <summary>The name of a task.</summary>
    public static string Name(ITask task) => JsonNamingPolicy.KebabCaseLower.ConvertName(task.GetType().Name[..^"Task".Length]);

    /// <summary>The names of the tasks that a model has.</summary>
    public static IReadOnlyList<string> Names(Model model) => [.. TaskCatalogue.Of(model).Select(Name)];

    /// <summary>The prediction of that name, which the model has; null: its head's own.</summary>
    public static IPredictionTask Prediction(Model model, string? name) => name is null
        ? TaskCatalogue.Prediction(model)!
        : TaskCatalogue.Of(model).OfType<IPredictionTask>().Single(task => Name(task) == name);
}
