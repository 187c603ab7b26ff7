namespace InferenceServer.Engine.Tasks.Similarity;

/// <summary>How alike the source and the sentences are.</summary>
/// <param name="Function"><c>cosine</c>, <c>dot</c>, <c>euclidean</c> or <c>manhattan</c>, the last two as negative distances, so that more is more alike; <c>maxsim</c> of a ColBERT folder.</param>
/// <param name="Scores">One score a sentence, in their order.</param>
/// <param name="Explanations">One explanation a sentence; null when none was asked for.</param>
public sealed record SimilarityResult(string Function, IReadOnlyList<float> Scores, IReadOnlyList<SimilarityExplanation>? Explanations)
{
    /// <summary>Indices of the sentences of which something was cut off (all when the source was cut), ascending; null when nothing was.</summary>
    public IReadOnlyList<int>? Truncated { get; init; }
}

/// <summary>Why a sentence has its score.</summary>
/// <param name="SourceTokens">The source's tokens, special tokens included.</param>
/// <param name="SentenceTokens">The sentence's tokens, special tokens included.</param>
/// <param name="Contributions">What each pair of tokens adds to the score, <c>[source token][sentence token]</c>; the sum is the score.</param>
public sealed record SimilarityExplanation(
    IReadOnlyList<SimilarityToken> SourceTokens,
    IReadOnlyList<SimilarityToken> SentenceTokens,
    float[][] Contributions);

/// <summary>A token and its <c>[start, end)</c> in Unicode code points of its text; <c>(0, 0)</c> for special tokens and those of the prompt.</summary>
public sealed record SimilarityToken(string Token, int Start, int End);
