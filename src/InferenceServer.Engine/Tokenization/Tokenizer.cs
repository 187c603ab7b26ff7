namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// A tokenizer built from a model folder: <c>tokenizer.json</c>, or the older files (vocab.txt; vocab.json + merges.txt;
/// SentencePiece models), with tokenizer_config.json and special_tokens_map.json. Immutable and thread-safe.
/// </summary>
public sealed class Tokenizer
{
    private Tokenizer()
    {
    }

    /// <summary>Builds the tokenizer of a model folder.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">A file is missing or damaged, or names a part that is not supported; the message names the file and the JSON path.</exception>
    public static Tokenizer Load(string folder) => throw new NotImplementedException();

    /// <summary>Encodes one text, or a pair when <paramref name="pair"/> is not null (an empty pair is a pair). Without <paramref name="truncation"/> nothing is cut, whatever the file says.</summary>
    public TokenEncoding Encode(string text, string? pair = null, bool addSpecialTokens = true, Truncation? truncation = null) => throw new NotImplementedException();

    /// <summary>Encodes a target text of an encoder-decoder (another vocabulary for some, Marian's target.spm).</summary>
    public TokenEncoding EncodeTarget(string text, bool addSpecialTokens = true) => throw new NotImplementedException();

    /// <summary>Wraps ready ids in the tokenizer's special tokens (cls, sep or whatever its post-processor adds).</summary>
    public int[] AddSpecialTokens(ReadOnlySpan<int> ids) => throw new NotImplementedException();

    /// <summary>Decodes ids as the reference does; ids that do not exist are dropped.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true) => throw new NotImplementedException();

    /// <summary>Decodes token by token for a stream: never half a character.</summary>
    public DecodeStream DecodeStream(bool skipSpecialTokens = true) => throw new NotImplementedException();

    /// <summary>The token of an id, or null.</summary>
    public string? IdToToken(int id) => throw new NotImplementedException();

    /// <summary>The id of a token, or null.</summary>
    public int? TokenToId(string token) => throw new NotImplementedException();

    /// <summary>Size of the vocabulary, added tokens included.</summary>
    public int VocabularySize => throw new NotImplementedException();

    /// <summary>Ids of the tokenizer's special tokens.</summary>
    public IReadOnlySet<int> SpecialIds => throw new NotImplementedException();

    /// <summary>How many tokens the post-processor adds to a single text or to a pair.</summary>
    public int SpecialTokensToAdd(bool pair) => throw new NotImplementedException();

    /// <summary>The named special tokens of tokenizer_config.json and special_tokens_map.json, with their ids.</summary>
    public NamedTokens Named => throw new NotImplementedException();

    /// <summary><c>model_max_length</c> of tokenizer_config.json when it is a real limit (below 1e9), else null.</summary>
    public int? ModelMaxLength => throw new NotImplementedException();

    /// <summary><c>truncation_side</c> of tokenizer_config.json.</summary>
    public Side TruncationSide => throw new NotImplementedException();

    /// <summary><c>padding_side</c> of tokenizer_config.json.</summary>
    public Side PaddingSide => throw new NotImplementedException();

    /// <summary>True when a token that continues a word is marked in the vocabulary by a prefix such as <c>##</c> (null: it is not).</summary>
    public string? ContinuingSubwordPrefix => throw new NotImplementedException();

    /// <summary>The parts as the JSON names them, for people: normalizer, pre_tokenizer, model, post_processor, decoder.</summary>
    public IReadOnlyDictionary<string, string> Parts => throw new NotImplementedException();
}

/// <summary>A special token by its role.</summary>
public sealed record NamedToken(string Text, int Id);

/// <summary>The special tokens by their role; null where the folder names none.</summary>
public sealed record NamedTokens(NamedToken? Bos, NamedToken? Eos, NamedToken? Unk, NamedToken? Sep, NamedToken? Pad, NamedToken? Cls, NamedToken? Mask);

/// <summary>Decodes token by token: <see cref="Push"/> gives the text that became certain.</summary>
public sealed class DecodeStream
{
    /// <summary>The text that <paramref name="id"/> completed, empty while a character is incomplete.</summary>
    public string Push(int id) => throw new NotImplementedException();

    /// <summary>What is left at the end of the stream.</summary>
    public string Flush() => throw new NotImplementedException();
}
