using System.Text.Json;

namespace InferenceServer.Engine.Manifest;

/// <summary>config.json by its meaning: the same fact has other names in other families (<c>hidden_size</c>, <c>d_model</c>, <c>dim</c>, <c>n_embd</c>).</summary>
public sealed record ModelConfig
{
    /// <summary>The file as it is.</summary>
    public required JsonElement Root { get; init; }

    /// <summary><c>model_type</c>.</summary>
    public string? ModelType { get; init; }

    /// <summary><c>architectures</c>.</summary>
    public IReadOnlyList<string> Architectures { get; init; } = [];

    /// <summary>Hidden size.</summary>
    public int? HiddenSize { get; init; }

    /// <summary>Layers (of the encoder, for an encoder-decoder).</summary>
    public int? Layers { get; init; }

    /// <summary>Attention heads (of the encoder, for an encoder-decoder).</summary>
    public int? Heads { get; init; }

    /// <summary>Key/value heads; equals <see cref="Heads"/> without grouped-query attention.</summary>
    public int? KeyValueHeads { get; init; }

    /// <summary>Size of one head.</summary>
    public int? HeadSize { get; init; }

    /// <summary>Decoder layers of an encoder-decoder.</summary>
    public int? DecoderLayers { get; init; }

    /// <summary>Decoder heads of an encoder-decoder.</summary>
    public int? DecoderHeads { get; init; }

    /// <summary>Most positions (<c>max_position_embeddings</c>, <c>n_positions</c>, <c>n_ctx</c>), reduced where the first rows are not used for text (RoBERTa's padding offset).</summary>
    public int? MaxPositions { get; init; }

    /// <summary>Vocabulary size.</summary>
    public int? VocabularySize { get; init; }

    /// <summary>Labels by id (<c>id2label</c>); empty when the config names none. A head without names gets LABEL_0, LABEL_1, ...</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary><c>problem_type</c>: single_label_classification, multi_label_classification, regression, or null.</summary>
    public string? ProblemType { get; init; }

    /// <summary><c>pad_token_id</c>.</summary>
    public int? PadTokenId { get; init; }

    /// <summary><c>decoder_start_token_id</c>.</summary>
    public int? DecoderStartTokenId { get; init; }

    /// <summary><c>is_encoder_decoder</c>.</summary>
    public bool IsEncoderDecoder { get; init; }

    /// <summary><c>is_decoder</c>.</summary>
    public bool IsDecoder { get; init; }

    /// <summary>Facts of a config.json, by their meaning.</summary>
    /// <param name="root">The file's object.</param>
    /// <param name="file">Name of the file, for messages.</param>
    /// <exception cref="Diagnostics.ModelLoadException">A fact has a value that cannot be; the message names its JSON path.</exception>
    public static ModelConfig From(JsonElement root, string file = "config.json") => ConfigReader.Read(root, file);
}
