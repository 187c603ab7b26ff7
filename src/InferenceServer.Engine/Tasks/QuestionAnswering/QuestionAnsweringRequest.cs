namespace InferenceServer.Engine.Tasks.QuestionAnswering;

/// <summary>Which part of a context answers a question? Inputs are made by <see cref="TextInput.OfQuestion"/>.</summary>
public sealed record QuestionAnsweringRequest : PredictionRequest
{
    /// <summary>Answers to give at most, best first.</summary>
    public int TopK { get; init; } = 1;

    /// <summary>Tokens of a window, question and special tokens included; null: the smaller of the model's limit and 384.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Tokens that neighbouring windows share; null: the smaller of half the window and 128.</summary>
    public int? DocStride { get; init; }

    /// <summary>Longest answer in tokens.</summary>
    public int MaxAnswerTokens { get; init; } = 15;

    /// <summary>Whether the empty answer (the context does not say) competes with the others.</summary>
    public bool HandleImpossibleAnswer { get; init; }
}
