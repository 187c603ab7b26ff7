using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Execution;

/// <summary>Values that a person set for inputs of a graph, and what is said of an input that has none.</summary>
/// <param name="Setting">The settings of the model, for messages (<c>Models:{id}</c>).</param>
/// <param name="Values">Values by the names of inputs; every element of an input gets its value.</param>
/// <param name="TextFile">Another graph of the folder that reads text alone, relative to it; null when there is none.</param>
internal sealed record GivenInputs(string Setting, IReadOnlyDictionary<string, long> Values, string? TextFile)
{
    /// <summary>The value of an input; null when none was set.</summary>
    /// <exception cref="ModelLoadException">It is no 32-bit number.</exception>
    public int? ValueOf(string input) => !Values.TryGetValue(input, out var value) ? null
        : value is >= int.MinValue and <= int.MaxValue ? (int)value
        : throw new ModelLoadException($"The setting {Setting}:Inputs:{input} is {value}; it goes from {int.MinValue} to {int.MaxValue}.");

    /// <summary>What helps where an input has no known role.</summary>
    public string Remedy(string input) => TextFile is { } file
        ? $"{file} lies beside it and is made for text: choose it with the setting {Setting}:File."
        : $"Where the model's card says which value it takes, set {Setting}:Inputs:{input} to it (a whole number, which every element of the input gets).";
}
