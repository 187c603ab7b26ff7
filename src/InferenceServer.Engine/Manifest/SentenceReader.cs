using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Reads a sentence-transformers folder (https://sbert.net/docs/package_reference/sentence_transformer/models.html).</summary>
internal static class SentenceReader
{
    private const string PoolingFolder = "1_Pooling";
    private const string Assumed = "default";
    private const string SentenceEmbedding = "sentence_embedding";
    private const string TokenEmbeddings = "token_embeddings";

    private static readonly HashSet<string> Activations = ["Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU"];

    private static readonly string[] TransformerFiles = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];

    private static readonly (string Flag, string Name, PoolingMode Mode, bool Default)[] Poolings =
    [
        ("pooling_mode_cls_token", "cls", PoolingMode.Cls, false),
        ("pooling_mode_max_tokens", "max", PoolingMode.Max, false),
        ("pooling_mode_mean_tokens", "mean", PoolingMode.Mean, true),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", PoolingMode.MeanSqrtLen, false),
        ("pooling_mode_weightedmean_tokens", "weightedmean", PoolingMode.WeightedMean, false),
        ("pooling_mode_lasttoken", "lasttoken", PoolingMode.LastToken, false),
    ];

    // What a configuration may set to true without changing the numbers.
    private static readonly HashSet<string> PoolingFlags = ["include_prompt"];
    private static readonly HashSet<string> DenseFlags = ["bias", "use_residual"];

    /// <summary>The pipeline, or null when the folder has neither modules.json nor 1_Pooling.</summary>
    public static SentencePipeline? Read(string folder, string id, List<string> notes)
    {
        var listed = Modules(folder);
        if (listed is null && LateInteractionReader.Stanford(folder) is { } stanford)
        {
            return stanford;
        }

        if (listed is null && JsonFile.ReadObject(folder, $"{PoolingFolder}/config.json") is null)
        {
            return null;
        }

        var settings = JsonFile.ReadObject(folder, "config_sentence_transformers.json");
        var late = listed is null ? null : LateInteractionReader.PyLate([.. listed.Select(module => module.FullType)], settings);
        var modules = new List<SentenceModule>();
        var tokenModules = new List<DenseModule>();
        var source = "";
        var transformer = "";
        var complete = listed is not null;
        string? unsupported = null;
        SparsePooling? sparse = null;
        LogitScore? score = null;
        foreach (var (type, _, path, where) in listed ?? [("Transformer", "", "", ""), ("Pooling", "", PoolingFolder, "")])
        {
            if (unsupported is not null)
            {
                break;
            }

            switch (type)
            {
                case "Transformer" or "MLMTransformer":
                    if (modules.Count > 0 || source.Length > 0)
                    {
                        throw new ModelLoadException($"{where} puts a Transformer behind another module; one transformer, first, can be served.");
                    }

                    transformer = path;
                    break;
                case "LogitScore" when modules.Count == 0 && source.Length == 0:
                    score = Score(folder, path);
                    unsupported = $"{where} is a LogitScore: the model scores pairs of texts";
                    break;
                case "SpladePooling" when modules.Count == 0 && source.Length == 0:
                    (sparse, source) = Splade(folder, path);
                    break;
                case "Pooling" or "Normalize" when late is not null:
                    break; // PyLate leaves them out: token vectors get unit length in any case
                case "Dense" when source.Length == 0 && (late is not null || DenseInput(folder, path) == TokenEmbeddings):
                    if (Missing(type, path) is { } lost)
                    {
                        unsupported = lost;
                        break;
                    }

                    tokenModules.Add(Dense(folder, path, TokenEmbeddings, late is null ? "Tanh" : "Identity"));
                    break;
                case "Pooling" when source.Length > 0:
                    throw new ModelLoadException($"{where} names a second Pooling; one can be served.");
                case "Pooling":
                    (var pooling, source) = Pooling(folder, path, id, notes);
                    complete &= !source.StartsWith(Assumed, StringComparison.Ordinal);
                    modules.Add(pooling);
                    break;
                case "Dropout":
                    break;
                case "Normalize" or "Dense" or "LayerNorm" when sparse is null:
                    if (source.Length == 0)
                    {
                        (var mean, source) = NoPooling(id, notes);
                        complete = false;
                        modules.Add(mean);
                    }

                    if (type != "Normalize" && Missing(type, path) is { } missing)
                    {
                        unsupported = missing;
                        break;
                    }

                    modules.Add(type switch
                    {
                        "Normalize" => new NormalizeModule(),
                        "Dense" => Dense(folder, path, SentenceEmbedding, "Tanh"),
                        _ => LayerNorm(folder, path),
                    });
                    break;
                default:
                    unsupported = $"{where} is a module of type '{type}'{(source.Length > 0 || modules.Count > 0 ? " at that place" : "")}, which is not supported; for vectors Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout and SpladePooling are";
                    notes.Add($"The model makes no vectors: {unsupported}. Its other tasks are served.");
                    break;
            }
        }

        if (source.Length == 0 && unsupported is null && late is null)
        {
            (var mean, source) = NoPooling(id, notes);
            complete = false;
            modules.Add(mean);
        }

        complete &= unsupported is null;
        RequireMatchingSizes(modules);
        RequireMatchingSizes([.. tokenModules]);
        var (bert, file) = transformer.Length > 0 && Transformer(folder, transformer + "/") is { File: not null } own ? own : Transformer(folder, "");
        var prompts = Prompts(settings);
        var prompt = settings is { } s ? ConfigReader.Text(s, "default_prompt_name") : null;
        if (prompt is not null && !prompts.ContainsKey(prompt))
        {
            throw new ModelLoadException($"config_sentence_transformers.json: $.default_prompt_name is '{prompt}', and $.prompts has no prompt of that name. Add it, or set the name to null.");
        }

        return new SentencePipeline(
            modules, source, prompts, prompt, late is null ? Length(bert, file) : null, bert is { } b && ConfigReader.Flag(b, "do_lower_case"), late is null ? Similarity(settings) : null, complete, file, unsupported, tokenModules, sparse, late, score);

        string? Missing(string type, string path)
        {
            var missing = MissingWeights(folder, path, type);
            if (missing is not null)
            {
                notes.Add($"No vectors are made by the steps of modules.json: {missing}. The other tasks are served, and the graph's own vector where it has one.");
            }

            return missing;
        }
    }

    private static LogitScore Score(string folder, string path)
    {
        var file = $"{path}/config.json";
        var config = JsonFile.ReadObject(folder, file) ?? throw new ModelLoadException($"{file} of the LogitScore module is missing. Download the folder again.");
        RequireKnownFlags(config, file, [], static _ => false);
        return new LogitScore(
            Id("true_token_id") ?? throw new ModelLoadException($"{file}: $.true_token_id is missing. Download the file again."), Id("false_token_id"));

        int? Id(string name) => !config.TryGetProperty(name, out var id) || id.ValueKind == JsonValueKind.Null ? null
            : id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out var value) && value >= 0 ? value
            : throw new ModelLoadException($"{file}: $.{name} is {id.GetRawText()}; it is the id of a token.");
    }

    private static (SparsePooling, string Source) Splade(string folder, string path)
    {
        var file = $"{path}/config.json";
        var config = JsonFile.ReadObject(folder, file) ?? throw new ModelLoadException($"{file} of the SpladePooling module is missing. Download the folder again.");
        RequireKnownFlags(config, file, [], static _ => false);
        var strategy = ConfigReader.Text(config, "pooling_strategy") ?? "max";
        var activation = ConfigReader.Text(config, "activation_function") ?? "relu";
        return strategy is not ("max" or "sum") ? throw new ModelLoadException($"{file}: $.pooling_strategy is '{strategy}'; max and sum are supported.")
            : activation is not ("relu" or "log1p_relu") ? throw new ModelLoadException($"{file}: $.activation_function is '{activation}'; relu and log1p_relu are supported.")
            : (new SparsePooling(strategy == "sum", activation == "log1p_relu"), file);
    }

    private static List<(string Type, string FullType, string Path, string Where)>? Modules(string folder)
    {
        if (JsonFile.Read(folder, "modules.json") is not { } file)
        {
            return null;
        }

        if (file.ValueKind != JsonValueKind.Array || file.GetArrayLength() > 64)
        {
            throw new ModelLoadException("modules.json holds no list of modules. Download the file again.");
        }

        var modules = new List<(string, string, string, string)>();
        for (var i = 0; i < file.GetArrayLength(); i++)
        {
            var type = ConfigReader.Text(file[i], "type") ?? throw new ModelLoadException($"modules.json: $[{i}].type is missing. Download the file again.");
            modules.Add((type[(type.LastIndexOf('.') + 1)..], type, (ConfigReader.Text(file[i], "path") ?? "").Trim('/'), $"modules.json: $[{i}]"));
        }

        return modules;
    }

    private static (PoolingModule, string Source) Pooling(string folder, string path, string id, List<string> notes)
    {
        var file = path.Length == 0 ? "config.json" : $"{path}/config.json";
        if (path.Length == 0 || JsonFile.ReadObject(folder, file) is not { } config)
        {
            notes.Add($"{file} of the Pooling module is missing: the mean over the tokens is taken. Set Models:{id}:Pooling to change it.");
            return (new PoolingModule([PoolingMode.Mean]), $"{Assumed} ({file} is missing)");
        }

        RequireKnownFlags(config, file, PoolingFlags, static name => name.StartsWith("pooling_mode", StringComparison.Ordinal));
        var includePrompt = !config.TryGetProperty("include_prompt", out var include) || include.ValueKind != JsonValueKind.False;
        if (config.TryGetProperty("pooling_mode", out var named) && named.ValueKind is JsonValueKind.String or JsonValueKind.Array)
        {
            JsonElement[] names = named.ValueKind == JsonValueKind.String ? [named] : [.. named.EnumerateArray()];
            var chosen = names.Select(n => Mode(n, file)).Distinct().ToArray();
            return chosen.Length > 0 ? (new PoolingModule(chosen, includePrompt), file) : throw None();
        }

        var known = Poolings.Select(p => p.Flag).ToHashSet(StringComparer.Ordinal);
        if (config.EnumerateObject().Where(p => p.Name.StartsWith("pooling_mode_", StringComparison.Ordinal) && p.Value.ValueKind == JsonValueKind.True).Select(p => p.Name).FirstOrDefault(p => !known.Contains(p)) is { } unknown)
        {
            throw new ModelLoadException($"{file}: $.{unknown} asks for a pooling that is not supported. Supported are {string.Join(", ", Poolings.Select(p => p.Flag))}.");
        }

        var modes = Poolings
            .Where(p => config.TryGetProperty(p.Flag, out var flag) ? IsSet(flag) : p.Default)
            .Select(p => p.Mode)
            .ToArray();
        return modes.Length > 0 ? (new PoolingModule(modes, includePrompt), file) : throw None();

        ModelLoadException None() => new($"{file} asks for no pooling at all. Set one of {string.Join(", ", Poolings.Select(p => p.Flag))} to true.");
    }

    private static (PoolingModule, string Source) NoPooling(string id, List<string> notes)
    {
        notes.Add($"modules.json names no Pooling: the mean over the tokens is taken. Set Models:{id}:Pooling to change it.");
        return (new PoolingModule([PoolingMode.Mean]), $"{Assumed} (modules.json names no Pooling)");
    }

    /// <summary>A flag that is set and not known would change the numbers in a way that is not known.</summary>
    private static void RequireKnownFlags(JsonElement config, string file, HashSet<string> known, Func<string, bool> others)
    {
        foreach (var member in config.EnumerateObject())
        {
            if (member.Value.ValueKind == JsonValueKind.True && !known.Contains(member.Name) && !others(member.Name))
            {
                throw new ModelLoadException($"{file}: $.{member.Name} is true, and what it asks for is not known. Known flags are {string.Join(", ", known)}; set it to false if it does not change the vectors.");
            }
        }
    }

    private static bool IsSet(JsonElement flag) => flag.ValueKind == JsonValueKind.True || (flag.ValueKind == JsonValueKind.Number && flag.TryGetDouble(out var number) && number != 0);

    private static PoolingMode Mode(JsonElement name, string file)
    {
        var text = name.ValueKind == JsonValueKind.String ? name.GetString()!.ToLowerInvariant() : name.GetRawText();
        foreach (var pooling in Poolings)
        {
            if (text == pooling.Name || (pooling.Mode == PoolingMode.MeanSqrtLen && text == "mean_sqrt_len"))
            {
                return pooling.Mode;
            }
        }

        throw new ModelLoadException($"{file}: $.pooling_mode is '{text}', which is not supported. Supported are {string.Join(", ", Poolings.Select(p => p.Name))}.");
    }

    private static string? DenseInput(string folder, string path) => JsonFile.ReadObject(folder, $"{path}/config.json") is { } config ? ConfigReader.Text(config, "module_input_name") : null;

    // What of a module is not there, as a part of a sentence; the folder's other tasks do without.
    private static string? MissingWeights(string folder, string path, string type)
    {
        var (config, weights, pickle) = ($"{path}/config.json", $"{path}/model.safetensors", $"{path}/pytorch_model.bin");
        return type == "Dense" && !Has(config) ? $"{config} of the Dense module is missing; download the folder again"
            : Has(weights) ? null
            : Has(pickle) ? $"{path} has its weights in pytorch_model.bin only, which can run code when it is read and is therefore not read; load the model in sentence-transformers and save it again, which writes {weights}"
            : $"{weights} of the {type} module is missing; download the folder again";

        bool Has(string file) => !FolderFiles.IsInside(folder, file, out var full) || File.Exists(full); // one that leads outside is refused when it is read
    }

    private static DenseModule Dense(string folder, string path, string over, string otherwise)
    {
        var file = $"{path}/config.json";
        var config = JsonFile.ReadObject(folder, file) ?? throw new ModelLoadException($"{file} of the Dense module is missing. Download the folder again.");
        RequireKnownFlags(config, file, DenseFlags, static _ => false);
        foreach (var side in (string[])["module_input_name", "module_output_name"])
        {
            if (ConfigReader.Text(config, side) is { } name && name != over && !(over == TokenEmbeddings && name == SentenceEmbedding))
            {
                throw new ModelLoadException($"{file}: $.{side} is '{name}'; at this place a Dense module over {over} is supported.");
            }
        }

        var activation = ConfigReader.Text(config, "activation_function") ?? otherwise;
        activation = activation[(activation.LastIndexOf('.') + 1)..].TrimEnd('(', ')');
        if (!Activations.Contains(activation))
        {
            throw new ModelLoadException($"{file}: $.activation_function is '{activation}', which is not supported. Supported are {string.Join(", ", Activations)}.");
        }

        var weights = Weights(folder, path, "Dense");
        if (weights.Read("linear.weight") is not ([var outputs, var inputs], var matrix))
        {
            throw new ModelLoadException($"{path}/model.safetensors has no matrix 'linear.weight'. Save the module again with sentence-transformers.");
        }

        var bias = config.TryGetProperty("bias", out var withBias) && withBias.ValueKind == JsonValueKind.False ? null : weights.Read("linear.bias");
        if (bias is { } b && b.Values.Length != outputs)
        {
            throw new ModelLoadException($"{path}/model.safetensors: 'linear.bias' has {b.Values.Length} values, 'linear.weight' has {outputs} rows. Save the module again.");
        }

        if (bias is null && !(withBias.ValueKind == JsonValueKind.False))
        {
            throw new ModelLoadException($"{path}/model.safetensors has no 'linear.bias', which {file} asks for. Save the module again, or set $.bias to false.");
        }

        RequireSize("in_features", inputs);
        RequireSize("out_features", outputs);
        var residual = ConfigReader.Flag(config, "use_residual");
        float[]? projection = null;
        if (residual && inputs != outputs)
        {
            projection = weights.Read("residual.weight") is ([var to, var from], var values) && to == outputs && from == inputs
                ? values
                : throw new ModelLoadException($"{path}/model.safetensors has no matrix 'residual.weight' of {outputs} rows and {inputs} columns, which $.use_residual of {file} asks for. Save the module again.");
        }

        return new DenseModule(inputs, outputs, matrix, bias?.Values, activation, residual, projection);

        void RequireSize(string name, int actual)
        {
            if (config.TryGetProperty(name, out var said) && said.ValueKind == JsonValueKind.Number && said.TryGetInt32(out var size) && size != actual)
            {
                throw new ModelLoadException($"{file}: $.{name} is {size}, the weights in {path}/model.safetensors have {actual}. Download both files again.");
            }
        }
    }

    private static LayerNormModule LayerNorm(string folder, string path)
    {
        var weights = Weights(folder, path, "LayerNorm");
        return weights.Read("norm.weight") is { Shape: [_] } weight && weights.Read("norm.bias") is { Shape: [_] } bias && bias.Values.Length == weight.Values.Length
            ? new LayerNormModule(weight.Values, bias.Values, 1e-5f)
            : throw new ModelLoadException($"{path}/model.safetensors has no vectors 'norm.weight' and 'norm.bias' of one size. Save the module again with sentence-transformers.");
    }

    private static SafeTensors Weights(string folder, string path, string type)
    {
        var relative = $"{path}/model.safetensors";
        if (!FolderFiles.IsInside(folder, relative, out var full))
        {
            throw new ModelLoadException($"{relative} leads outside the model's folder. Put the file itself into the folder.");
        }

        if (File.Exists(full))
        {
            return SafeTensors.Open(full, relative);
        }

        throw new ModelLoadException(FolderFiles.IsInside(folder, $"{path}/pytorch_model.bin", out var pickle) && File.Exists(pickle)
            ? $"{path} has its weights in pytorch_model.bin only, which can run code when it is read and is therefore not read. Load the model in sentence-transformers and save it again: that writes {relative}."
            : $"{relative} of the {type} module is missing. Download the folder again.");
    }

    private static void RequireMatchingSizes(List<SentenceModule> modules)
    {
        int? size = null;
        foreach (var module in modules)
        {
            var wanted = module switch { DenseModule d => d.InFeatures, LayerNormModule n => n.Weight.Length, _ => (int?)null };
            if (size is { } have && wanted is { } want && have != want)
            {
                throw new ModelLoadException($"modules.json: a {module.GetType().Name.Replace("Module", "", StringComparison.Ordinal)} module takes {want} values and the module before it gives {have}. Download the folder again.");
            }

            size = module is DenseModule dense ? dense.OutFeatures : wanted ?? size;
        }
    }

    private static Dictionary<string, string> Prompts(JsonElement? settings)
    {
        var prompts = new Dictionary<string, string>(StringComparer.Ordinal);
        if (settings is { } s && s.TryGetProperty("prompts", out var named) && named.ValueKind == JsonValueKind.Object)
        {
            foreach (var prompt in named.EnumerateObject())
            {
                prompts[prompt.Name] = prompt.Value.ValueKind == JsonValueKind.String
                    ? prompt.Value.GetString()!
                    : throw new ModelLoadException($"config_sentence_transformers.json: $.prompts['{prompt.Name}'] is {JsonFile.Kind(prompt.Value)}; a prompt is a text.");
            }
        }

        return prompts;
    }

    /// <summary>The transformer's own file, which older folders name after their family.</summary>
    private static (JsonElement? Content, string? File) Transformer(string folder, string path)
    {
        foreach (var family in TransformerFiles)
        {
            var file = $"{path}sentence_{family}_config.json";
            if (JsonFile.ReadObject(folder, file) is { } content)
            {
                return (content, file);
            }
        }

        return (null, null);
    }

    // As of model_max_length: huge numbers stand for "no limit", and what is no number of tokens the reference cannot cut texts at.
    private static int? Length(JsonElement? bert, string? file)
    {
        const double NoLimit = 1e9;
        if (bert is not { } b || !b.TryGetProperty("max_seq_length", out var length) || length.ValueKind != JsonValueKind.Number || (length.TryGetDouble(out var number) && number >= NoLimit))
        {
            return null;
        }

        return number >= 1 && number == Math.Floor(number)
            ? (int)number
            : throw new ModelLoadException($"{file}: $.max_seq_length is {length.GetRawText()}, which is no number of tokens. Correct it to a whole number from 1, or remove it where no file should limit the length.");
    }

    private static string? Similarity(JsonElement? settings) => settings is { } s && ConfigReader.Text(s, "similarity_fn_name") is { } name
        ? name switch
        {
            "cosine" or "dot" or "euclidean" or "manhattan" => name,
            "dot_score" => "dot",
            "cos_sim" => "cosine",
            _ => throw new ModelLoadException($"config_sentence_transformers.json: $.similarity_fn_name is '{name}'; cosine, dot, euclidean and manhattan are supported."),
        }
        : null;
}
