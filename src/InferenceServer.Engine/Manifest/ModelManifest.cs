namespace InferenceServer.Engine.Manifest;

/// <summary>What a model folder says of itself, read once. Nothing here depends on the folder's name.</summary>
public sealed record ModelManifest
{
    /// <summary>The model's id: the folder's name.</summary>
    public required string Id { get; init; }

    /// <summary>Full path of the folder.</summary>
    public required string Folder { get; init; }

    /// <summary>config.json (an empty one when the folder has none).</summary>
    public required ModelConfig Config { get; init; }

    /// <summary>The ONNX files to load.</summary>
    public required OnnxFileSet Files { get; init; }

    /// <summary>The sentence-transformers pipeline; null when the folder has no modules.json and no 1_Pooling.</summary>
    public SentencePipeline? Sentence { get; init; }

    /// <summary>Last part of the name of the activation that a cross-encoder's folder wants on its scores (<c>Identity</c>), with the file and field that name it; null when none does (Sigmoid).</summary>
    public (string Name, string Source)? ScoreActivation { get; init; }

    /// <summary>How text is to be generated.</summary>
    public GenerationConfig Generation { get; init; } = GenerationConfig.From(null, default);

    /// <summary>Things a person should know that do not keep the model from being served.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>True when the folder has a config.json or an ONNX file, so that it is meant to be a model.</summary>
    public static bool IsModelFolder(string folder) => ManifestReader.IsModelFolder(folder);

    /// <summary>Reads a model folder.</summary>
    /// <param name="folder">Path of the folder; its last part is the model's id.</param>
    /// <param name="fileSetting">The ONNX file to take, relative to the folder (<c>onnx/model_fp16.onnx</c>), or null for the rule of <see cref="OnnxFileSet.Choose"/>.</param>
    /// <exception cref="Diagnostics.ModelLoadException">The folder cannot be served; the message names the file, the JSON path and the remedy.</exception>
    public static ModelManifest Read(string folder, string? fileSetting = null) => ManifestReader.Read(folder, fileSetting);
}

/// <summary>The ONNX files of a folder, full paths.</summary>
/// <param name="Main">The graph, or the encoder of an encoder-decoder.</param>
/// <param name="Decoder">decoder_model.onnx.</param>
/// <param name="DecoderWithPast">decoder_with_past_model.onnx.</param>
/// <param name="DecoderMerged">decoder_model_merged.onnx.</param>
public sealed record OnnxFileSet(string Main, string? Decoder = null, string? DecoderWithPast = null, string? DecoderMerged = null)
{
    /// <summary>The graph with a past beside a decoder alone that takes none (older exports have two files).</summary>
    public string? Continuation { get; init; }

    /// <summary>True when <see cref="Main"/> is an encoder with a decoder beside it.</summary>
    public bool IsEncoderDecoder => (Decoder ?? DecoderWithPast ?? DecoderMerged) is not null;

    /// <summary>
    /// Which files to load: the setting; else <c>onnx/model.onnx</c>; else <c>model.onnx</c>; else an encoder with its decoders (four files, three, encoder and
    /// merged decoder, encoder and decoder); else the only ONNX file there is.
    /// </summary>
    /// <exception cref="Diagnostics.ModelLoadException">There is none, or several to choose from (the message lists them), or the setting names none of the folder.</exception>
    public static OnnxFileSet Choose(string folder, string? fileSetting = null) => OnnxFiles.Choose(folder, fileSetting);
}
