using InferenceServer.Engine.Generation.Sampling;

namespace InferenceServer.Engine.Generation;

/// <summary>What a request's generation does, decided once: its own values, else the model's defaults.</summary>
public sealed record GenerationPlan
{
    /// <summary>How tokens are chosen.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>How beams are searched; null: no beams.</summary>
    public BeamOptions? Beams { get; init; }

    /// <summary>Choices.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>What drawn tokens depend on.</summary>
    public ulong Seed { get; init; }

    /// <summary>Tokens that end a text: the model's and the request's.</summary>
    public required HashSet<int> Ends { get; init; }

    /// <summary>Texts that end it.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Text that each choice begins with.</summary>
    public string? Echo { get; init; }
}
