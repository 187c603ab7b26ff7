using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;

namespace InferenceServer.Configuration;

/// <summary>All settings of the server: read and checked once at the start, immutable afterwards. Nothing downstream reads the configuration.</summary>
internal sealed record Settings
{
    /// <summary>The address to listen on when no setting names one.</summary>
    public static string DefaultUrl => LogSettings.RunsInContainer ? "http://*:8080" : "http://localhost:8080";

    /// <summary>Bounds on requests.</summary>
    public required Limits Limits { get; init; }

    /// <summary>How the server ends.</summary>
    public required Shutdown Shutdown { get; init; }

    /// <summary>Where probes are answered.</summary>
    public required Health Health { get; init; }

    /// <summary>True when requests are answered whatever host they name: ASP.NET Core's <c>AllowedHosts</c> is unset or holds <c>*</c>.</summary>
    public required bool AllowsAnyHost { get; init; }

    /// <summary>Which answers are compressed.</summary>
    public required Compression Compression { get; init; }

    /// <summary>Logging.</summary>
    public required LogSettings Logging { get; init; }

    /// <summary>What is loaded and how it runs.</summary>
    public required LoadingOptions Loading { get; init; }

    /// <summary>What a person should know of the settings that does not keep the server from starting.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Reads every section; <paramref name="errors"/> lists everything that is wrong, each with its remedy.</summary>
    public static Settings Read(IConfiguration configuration, out IReadOnlyList<string> errors)
    {
        var reader = new SettingsReader(configuration);
        var directory = ModelsDirectory(configuration["Models"], reader.Errors);
        var models = new ModelSettingsReader(configuration, reader, ModelIds(directory));
        var settings = new Settings
        {
            Limits = reader.Read<Limits>("Limits"),
            Shutdown = reader.Read<Shutdown>("Shutdown"),
            Health = reader.Read<Health>("Health"),
            AllowsAnyHost = configuration["AllowedHosts"] is not { } hosts || string.IsNullOrWhiteSpace(hosts) || hosts.Split(';', StringSplitOptions.TrimEntries).Contains("*"),
            Compression = reader.Read<Compression>("Compression"),
            Logging = reader.Read<LogSettings>("Logging", ignore: "LogLevel"),
            Loading = new LoadingOptions
            {
                Directory = directory,
                Models = models.Read(),
                Execution = reader.Read<ExecutionOptions>("Execution"),
                Queue = reader.Read<QueueOptions>("Queue"),
                Generation = reader.Read<GenerationOptions>("Generation"),
            },
        };
        LogLevels.Check(configuration, reader.Errors);
        if (settings.Health.Problem() is { } problem)
        {
            reader.Errors.Add(problem);
        }

        errors = reader.Errors;
        return settings with { Warnings = models.Warnings };
    }

    /// <summary>What holds for one folder, wherever it lies: the settings of its model and of the execution, as a server of the models beside it reads them.</summary>
    public static LoadingOptions ReadFor(string folder, IConfiguration configuration, out IReadOnlyList<string> errors)
    {
        var reader = new SettingsReader(configuration);
        var (id, directory) = (ModelFolders.IdOf(folder), ModelFolders.DirectoryOf(folder));
        var models = new ModelSettingsReader(configuration, reader, [.. ModelIds(directory).Union([id])]);
        var options = new LoadingOptions
        {
            Directory = directory,
            Models = models.Read(),
            Execution = reader.Read<ExecutionOptions>("Execution"),
            Queue = reader.Read<QueueOptions>("Queue"),
            Generation = reader.Read<GenerationOptions>("Generation"),
        };
        errors = models.Ambiguous.Contains(id) ? [.. reader.Errors, .. models.Warnings] : reader.Errors;
        return options;
    }

    private static IReadOnlyCollection<string> ModelIds(string directory) => Directory.Exists(directory) && CanBeListed(directory) ? [.. ModelFolders.List(directory).Keys] : [];

    /// <summary>The folder of models: the setting, else <c>models</c> beside the program, else the nearest <c>models</c> upwards of it or of the current folder (a checkout).</summary>
    private static string ModelsDirectory(string? setting, List<string> errors)
    {
        if (!string.IsNullOrWhiteSpace(setting))
        {
            var folder = Path.GetFullPath(setting);
            if (!Directory.Exists(folder))
            {
                errors.Add($"--models {setting}: there is no folder {folder}. Create it, or name the folder that holds the model folders.");
            }
            else if (!CanBeListed(folder))
            {
                errors.Add($"--models {setting}: the folder {folder} cannot be listed. Give the user that runs the server the right to read it.");
            }

            return folder;
        }

        var beside = Path.Combine(AppContext.BaseDirectory, "models");
        var found = Directory.Exists(beside) ? beside : Upwards(AppContext.BaseDirectory) ?? Upwards(Environment.CurrentDirectory);
        if (found is null)
        {
            errors.Add($"There is no folder 'models' beside the program ({AppContext.BaseDirectory}) or above it. Name the folder that holds the model folders: --models <dir>.");
        }

        return found ?? beside;
    }

    private static bool CanBeListed(string folder)
    {
        try
        {
            _ = Directory.EnumerateDirectories(folder).Any();
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static string? Upwards(string start)
    {
        for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "InferenceServer.sln")) && Path.Combine(folder.FullName, "models") is var models && Directory.Exists(models))
            {
                return models;
            }
        }

        return null;
    }
}
