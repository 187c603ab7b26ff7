using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Reads a model folder.</summary>
internal static class ManifestReader
{
    private static readonly JsonElement Empty = JsonDocument.Parse("{}").RootElement.Clone();

    public static bool IsModelFolder(string folder) => File.Exists(Path.Combine(folder, "config.json")) || OnnxFiles.All(folder).Count > 0;

    /// <summary>Reads a folder whole.</summary>
    public static ModelManifest Read(string folder, string? fileSetting)
    {
        var root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (!Directory.Exists(root))
        {
            throw new ModelLoadException($"There is no folder '{Path.GetFileName(root)}' in the models directory.");
        }

        var notes = new List<string>();
        var config = Config(root, notes);
        var id = ModelFolders.IdOf(root);
        return Read(root, id, config, OnnxFiles.Choose(root, fileSetting, id), SentenceReader.Read(root, id, notes), notes)!;
    }

    /// <summary>What the folder's descriptions say together; null where one of the parts is missing. generation_config.json is read in every case.</summary>
    public static ModelManifest? Read(string root, string id, ModelConfig? config, OnnxFileSet? files, SentencePipeline? sentence, List<string> notes)
    {
        var generation = JsonFile.ReadObject(root, "generation_config.json");
        return config is null || files is null ? null : new ModelManifest
        {
            Id = id,
            Folder = root,
            Config = config with { DecoderStartTokenId = config.DecoderStartTokenId ?? (generation is { } g ? ConfigReader.Id([g], "decoder_start_token_id") : null) },
            Files = files,
            Sentence = sentence,
            Generation = GenerationConfig.From(generation, config.Root),
            ScoreActivation = ScoreActivation(config, JsonFile.ReadObject(root, "config_sentence_transformers.json")),
            Notes = notes,
        };
    }

    // The order of sentence-transformers 5: the member of its own in config.json, the older one, then the file of its own.
    private static (string Name, string Source)? ScoreActivation(ModelConfig config, JsonElement? settings)
    {
        (string? Name, string Source)[] named =
        [
            (config.Root.ValueKind == JsonValueKind.Object && config.Root.TryGetProperty("sentence_transformers", out var own) ? ConfigReader.Text(own, "activation_fn") : null, "config.json: $.sentence_transformers.activation_fn"),
            (ConfigReader.Text(config.Root, "sbert_ce_default_activation_function"), "config.json: $.sbert_ce_default_activation_function"),
            (settings is { } s ? ConfigReader.Text(s, "activation_fn") : null, "config_sentence_transformers.json: $.activation_fn"),
        ];
        return Array.Find(named, n => !string.IsNullOrEmpty(n.Name)) is { Name: { } name, Source: var source } ? (name[(name.LastIndexOf('.') + 1)..].TrimEnd('(', ')'), source) : null;
    }

    /// <summary>config.json, else genai_config.json, else nothing but the graph.</summary>
    public static ModelConfig Config(string folder, List<string> notes)
    {
        if (JsonFile.ReadObject(folder, "config.json") is { } json)
        {
            var config = ModelConfig.From(json);
            if (config is { HiddenSize: { } hidden, Heads: { } heads, HeadSize: null })
            {
                notes.Add($"config.json says that there are {heads} attention heads, which do not divide the hidden size of {hidden}: transformers refuses that for most families. Attention is read with that number of heads.");
            }

            return config;
        }

        if (JsonFile.ReadObject(folder, "genai_config.json") is { } genai)
        {
            notes.Add("The folder has no config.json; sizes come from genai_config.json.");
            return ModelConfig.From(genai, "genai_config.json");
        }

        notes.Add("The folder has no config.json; what is known comes from the graph alone.");
        return ModelConfig.From(Empty);
    }
}
