using System.ComponentModel.DataAnnotations;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Configuration;

/// <summary>
/// Section <c>Models</c>: the settings of single models, <c>Models:{id}:{setting}</c>. An id may be written with <c>_</c> for every character that a shell does not take
/// in a name (<c>Models__all_MiniLM_L6_v2__File</c>); a name that fits no model, or several, is told and has no effect.
/// </summary>
/// <param name="configuration">The configuration.</param>
/// <param name="reader">Reads values and collects what is wrong with them.</param>
/// <param name="ids">The ids of the models that there are.</param>
internal sealed class ModelSettingsReader(IConfiguration configuration, SettingsReader reader, IReadOnlyCollection<string> ids)
{
    private const string Prompts = nameof(ModelSettings.Prompts);
    private const int MostShown = 20;
    private const int MostAccuracyLevel = 4;
    private const string Inputs = nameof(ModelSettings.Inputs);

    private static readonly string[] Names =
    [
        nameof(ModelSettings.File), nameof(ModelSettings.Pooling), nameof(ModelSettings.Normalize), $"{Prompts}:{{name}}", nameof(ModelSettings.MaxTokens), nameof(ModelSettings.Output),
        nameof(ModelSettings.TokenizerConfig), nameof(ModelSettings.RerankTemplate), nameof(ModelSettings.EntailmentLabel), nameof(ModelSettings.AccuracyLevel), $"{Inputs}:{{name}}",
    ];

    /// <summary>What is told of names that fit no model, or several.</summary>
    public List<string> Warnings { get; } = [];

    /// <summary>The models that a name fits that fits several.</summary>
    public HashSet<string> Ambiguous { get; } = new(StringComparer.Ordinal);

    /// <summary>The settings by id.</summary>
    public IReadOnlyDictionary<string, ModelSettings> Read()
    {
        var settings = new Dictionary<string, ModelSettings>(StringComparer.Ordinal);
        var told = new HashSet<string>(StringComparer.OrdinalIgnoreCase);

        // One id may be written in several ways, each a key of its own: what comes from a later source counts.
        foreach (var (setting, path) in Leaves(configuration.GetSection("Models"), []).OrderBy(leaf => SourceOf(leaf.Setting.Path)).ToList())
        {
            if (!TryName(path, out var written, out var name, out var entry))
            {
                reader.Errors.Add($"{setting.Path} is not a setting. {NearestName.Suggest(path[^1], Names, "settings of a model")}");
                continue;
            }

            if (string.IsNullOrWhiteSpace(setting.Value) && name != Prompts)
            {
                continue; // an empty environment variable is one that is not set
            }

            var id = IdOf(written, out var warning);
            var value = With(id is null ? ModelSettings.None : settings.GetValueOrDefault(id, ModelSettings.None), setting, name, entry);
            if (id is not null)
            {
                settings[id] = value;
            }
            else if (told.Add(written))
            {
                Warnings.Add(warning);
            }
        }

        return settings;
    }

    private static IEnumerable<(IConfigurationSection Setting, string[] Path)> Leaves(IConfigurationSection section, string[] path)
    {
        foreach (var child in section.GetChildren())
        {
            string[] below = [.. path, child.Key];
            if (child.Value is not null && path.Length > 0)
            {
                yield return (child, below);
            }

            foreach (var leaf in Leaves(child, below))
            {
                yield return leaf;
            }
        }
    }

    /// <summary>Takes a path apart. The configuration makes a ':' of each "__" of an environment variable, also where an id or a prompt's name has it.</summary>
    private static bool TryName(string[] path, out string id, out string name, out string entry)
    {
        for (var at = path.Length - 2; at > 0; at--)
        {
            foreach (var map in (string[])[Prompts, Inputs])
            {
                if (path[at].Equals(map, StringComparison.OrdinalIgnoreCase))
                {
                    (id, name, entry) = (Joined(path[..at]), map, Joined(path[(at + 1)..]));
                    return true;
                }
            }
        }

        (id, entry) = (Joined(path[..^1]), "");
        name = Names.FirstOrDefault(known => known.Equals(path[^1], StringComparison.OrdinalIgnoreCase)) ?? "";
        return name.Length > 0;
    }

    private static string Shelled(string id) => string.Concat(id.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));

    private static string Joined(string[] parts) => string.Join("__", parts);

    private static bool IsWrittenAs(string id, string written)
    {
        if (id.Length != written.Length)
        {
            return false;
        }

        for (var i = 0; i < id.Length; i++)
        {
            if (char.ToUpperInvariant(id[i]) != char.ToUpperInvariant(written[i]) && !(written[i] == '_' && !char.IsAsciiLetterOrDigit(id[i])))
            {
                return false;
            }
        }

        return true;
    }

    private int SourceOf(string path) => configuration is IConfigurationRoot root ? root.Providers.ToList().FindLastIndex(provider => provider.TryGet(path, out _)) : 0;

    /// <summary>The model that a name means: the one of that id, else the one that fits in any case, else with '_' for what a shell does not take.</summary>
    private string? IdOf(string written, out string warning)
    {
        warning = "";
        if (ids.Contains(written, StringComparer.Ordinal))
        {
            return written;
        }

        foreach (var fitting in (string[][])[[.. ids.Where(id => id.Equals(written, StringComparison.OrdinalIgnoreCase))], [.. ids.Where(id => IsWrittenAs(id, written))]])
        {
            if (fitting is [var one])
            {
                return one;
            }

            if (fitting.Length > 1)
            {
                Ambiguous.UnionWith(fitting);
                warning = $"The settings Models:{written} fit several models ({string.Join(", ", fitting)}) and have no effect; write the id as it is, in appsettings.json or on the command line.";
                return null;
            }
        }

        var near = NearestName.Find(Shelled(written), ids.Select(Shelled)) is { } name ? $" Did you mean '{ids.First(id => Shelled(id) == name)}'?" : "";
        var all = ids.Count == 0 ? "none" : string.Join(", ", ids.Take(MostShown)) + (ids.Count > MostShown ? ", ..." : "");
        warning = $"The settings Models:{written} fit no model and have no effect.{near} Known models: {all}.";
        return null;
    }

    private ModelSettings With(ModelSettings own, IConfigurationSection setting, string name, string entry) => name switch
    {
        nameof(ModelSettings.File) => own with { File = setting.Value },
        nameof(ModelSettings.Pooling) => own with { Pooling = setting.Value },
        nameof(ModelSettings.Normalize) => own with { Normalize = (bool?)reader.Value(setting, typeof(bool)) },
        nameof(ModelSettings.MaxTokens) => own with { MaxTokens = (int?)reader.Value(setting, typeof(int), new RangeAttribute(1, int.MaxValue)) },
        nameof(ModelSettings.Output) => own with { Output = setting.Value },
        nameof(ModelSettings.TokenizerConfig) => own with { TokenizerConfig = (TokenizerConfigUse?)reader.Value(setting, typeof(TokenizerConfigUse)) ?? default },
        nameof(ModelSettings.RerankTemplate) => own with { RerankTemplate = setting.Value },
        nameof(ModelSettings.EntailmentLabel) => own with { EntailmentLabel = setting.Value },
        nameof(ModelSettings.AccuracyLevel) => own with { AccuracyLevel = (int?)reader.Value(setting, typeof(int), new RangeAttribute(1, MostAccuracyLevel)) },
        Prompts => own with { Prompts = new Dictionary<string, string>(own.Prompts) { [entry] = setting.Value! } },
        _ => reader.Value(setting, typeof(long)) is long number ? own with { Inputs = new Dictionary<string, long>(own.Inputs) { [entry] = number } } : own,
    };
}
