using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Configuration;

/// <summary>Which setting an option of the engine is read from: the engine says the option's name, an answer or a log the setting's path.</summary>
internal static class SettingNames
{
    private static readonly Dictionary<string, string> Paths = Sections()
        .SelectMany(section => section.Options.GetProperties().Where(p => p.SetMethod is { IsPublic: true }).Select(p => (p.Name, Path: $"{section.Name}:{p.Name}")))
        .ToDictionary(option => option.Name, option => option.Path, StringComparer.Ordinal);

    /// <summary>The path of the setting, such as <c>Queue:MaxWaitingTokens</c>.</summary>
    /// <param name="option">Name of a property of an options record.</param>
    public static string Of(string option) => Paths[option];

    /// <summary>The sections whose options bound requests. No two have an option of the same name.</summary>
    private static (string Name, Type Options)[] Sections() => [("Limits", typeof(Limits)), ("Queue", typeof(QueueOptions)), ("Execution", typeof(ExecutionOptions))];
}
