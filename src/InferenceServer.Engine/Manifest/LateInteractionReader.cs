using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Reads ColBERT folders, as PyLate writes them (modules.json, config_sentence_transformers.json) and as Stanford's code does (artifact.metadata).</summary>
internal static class LateInteractionReader
{
    private const string Settings = "config_sentence_transformers.json";
    private const string Metadata = "artifact.metadata";
    private const string Weights = "model.safetensors";
    private const int QueryLength = 32;
    private const int DocumentLength = 180;

    // Python's string.punctuation.
    private static readonly string[] Punctuation = [.. "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".Select(c => c.ToString())];

    /// <summary>PyLate's: a module of its own, or a setting that it alone writes; null for another folder.</summary>
    /// <param name="types">The types of the modules, with their packages.</param>
    /// <param name="settings">config_sentence_transformers.json, or null.</param>
    public static LateInteraction? PyLate(IReadOnlyList<string> types, JsonElement? settings)
    {
        var names = settings is { } own && (own.TryGetProperty("query_prefix", out _) || own.TryGetProperty("document_prefix", out _) || own.TryGetProperty("query_length", out _)
            || string.Equals(ConfigReader.Text(own, "similarity_fn_name"), "MaxSim", StringComparison.OrdinalIgnoreCase) || ConfigReader.Text(own, "model_type") == "ColBERT");
        return !names && !types.Any(type => type.StartsWith("pylate.", StringComparison.Ordinal)) ? null : new LateInteraction(
            Text(settings, Settings, "query_prefix", "[Q] "),
            Text(settings, Settings, "document_prefix", "[D] "),
            Number(settings, Settings, "query_length", QueryLength),
            Number(settings, Settings, "document_length", DocumentLength),
            Is(settings, Settings, "do_query_expansion", true),
            Is(settings, Settings, "attend_to_expansion_tokens", false),
            Words(settings));
    }

    /// <summary>Stanford's: the class HF_ColBERT in config.json and no modules.json; null for another folder. Its projection is <c>linear.weight</c> of model.safetensors, unless the graph has it.</summary>
    public static SentencePipeline? Stanford(string folder)
    {
        if (JsonFile.ReadObject(folder, "config.json") is not { } config || !config.TryGetProperty("architectures", out var names) || names.ValueKind != JsonValueKind.Array
            || !names.EnumerateArray().Any(name => name.ValueKind == JsonValueKind.String && name.GetString() == "HF_ColBERT"))
        {
            return null;
        }

        var metadata = JsonFile.ReadObject(folder, Metadata);
        var late = new LateInteraction(
            Text(metadata, Metadata, "query_token_id", "[unused0]"),
            Text(metadata, Metadata, "doc_token_id", "[unused1]"),
            Number(metadata, Metadata, "query_maxlen", QueryLength),
            Number(metadata, Metadata, "doc_maxlen", DocumentLength),
            ExpandsQueries: true,
            Is(metadata, Metadata, "attend_to_mask_tokens", false),
            Punctuation,
            Number(metadata, Metadata, "dim", 128));
        List<DenseModule> projection = [];
        if (FolderFiles.Find(folder, Weights) is { } file && SafeTensors.Open(file, Weights).Read("linear.weight") is ([var to, var from], var matrix))
        {
            projection.Add(new DenseModule(from, to, matrix, null, "Identity"));
        }

        return new SentencePipeline([], metadata is null ? "config.json" : Metadata, new Dictionary<string, string>(), null, null, false, null, TokenModules: projection, Late: late);
    }

    private static string Text(JsonElement? settings, string file, string name, string other) => Member(settings, name) switch
    {
        null => other,
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        { } wrong => throw new ModelLoadException($"{file}: $.{name} is {JsonFile.Kind(wrong)}; it is a text."),
    };

    private static int Number(JsonElement? settings, string file, string name, int other) => Member(settings, name) switch
    {
        null => other,
        { ValueKind: JsonValueKind.Number } number when number.TryGetInt32(out var value) && value >= 4 => value,
        { } wrong => throw new ModelLoadException($"{file}: $.{name} is {wrong.GetRawText()}; it is a whole number from 4."),
    };

    private static bool Is(JsonElement? settings, string file, string name, bool other) => Member(settings, name) switch
    {
        null => other,
        { ValueKind: JsonValueKind.True or JsonValueKind.False } flag => flag.GetBoolean(),
        { } wrong => throw new ModelLoadException($"{file}: $.{name} is {JsonFile.Kind(wrong)}; it is true or false."),
    };

    private static string[] Words(JsonElement? settings) => Member(settings, "skiplist_words") switch
    {
        null => Punctuation,
        { ValueKind: JsonValueKind.Array } words when words.EnumerateArray().All(word => word.ValueKind == JsonValueKind.String) => [.. words.EnumerateArray().Select(word => word.GetString()!)],
        _ => throw new ModelLoadException($"{Settings}: $.skiplist_words is no list of texts."),
    };

    private static JsonElement? Member(JsonElement? settings, string name) => settings is { } s && s.TryGetProperty(name, out var member) && member.ValueKind != JsonValueKind.Null ? member : null;
}
