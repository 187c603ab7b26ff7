using InferenceServer.Engine.Tokenization.Decoders;
using InferenceServer.Engine.Tokenization.Models;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.PostProcessors;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// A token beside the model's vocabulary, found in the text before anything else. Its id is the model's when the model knows
/// the text, else the next free one, in the order of the list (as in the reference, whatever the file says).
/// </summary>
internal sealed record AddedToken(string Content, bool SingleWord = false, bool LStrip = false, bool RStrip = false, bool Normalized = true, bool Special = false);

/// <summary>What a tokenizer is made of, from tokenizer.json or from older files.</summary>
internal sealed record TokenizerParts
{
    /// <summary>Rewrites the text, or null.</summary>
    public Normalizer? Normalizer { get; init; }

    /// <summary>Splits the text, or null.</summary>
    public PreTokenizer? PreTokenizer { get; init; }

    /// <summary>Turns pieces into tokens.</summary>
    public required TokenizerModel Model { get; init; }

    /// <summary>Adds special tokens, or null.</summary>
    public PostProcessor? PostProcessor { get; init; }

    /// <summary>Turns tokens back into text, or null (joined by spaces).</summary>
    public Decoder? Decoder { get; init; }

    /// <summary>Tokens beside the vocabulary, in the file's order.</summary>
    public IReadOnlyList<AddedToken> AddedTokens { get; init; } = [];

    /// <summary>Tokens that other files of the folder add to those.</summary>
    public IReadOnlyList<AddedToken> LaterTokens { get; init; } = [];

    /// <summary>Truncation that the file asks for (not applied unless asked), or null.</summary>
    public Truncation? Truncation { get; init; }

    /// <summary>Padding that the file asks for (not applied unless asked), or null.</summary>
    public Padding? Padding { get; init; }

    /// <summary>Parts for target texts where those have a vocabulary of their own (Marian), else null.</summary>
    public TokenizerParts? Target { get; init; }

    /// <summary>The parts as the files name them, for people.</summary>
    public IReadOnlyDictionary<string, string>? Names { get; init; }
}
