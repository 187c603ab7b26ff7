using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Serving;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.FileProviders;
using Serilog;

namespace InferenceServer.Hosting;

/// <summary>Puts the server together and runs it; <c>Program.cs</c> is its table of contents.</summary>
internal static partial class ServerHost
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10); // before a client's rate counts

    /// <summary>A builder whose content (appsettings.json, wwwroot) lies beside the program, wherever the command is typed.</summary>
    public static WebApplicationBuilder CreateBuilder(string[] args)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        AddSettingsOfCurrentFolder(builder.Configuration);
        builder.WebHost.UseKestrelHttpsConfiguration();
        if (builder.Configuration["urls"] is null or "" && builder.Configuration["http_ports"] is null or "" && builder.Configuration["https_ports"] is null or ""
            && !builder.Configuration.GetSection("Kestrel:Endpoints").GetChildren().Any())
        {
            builder.WebHost.UseUrls(Settings.DefaultUrl);
        }

        return builder;
    }

    /// <summary>An appsettings.json in the folder that the command is typed in comes over the program's own, under the environment and the command line.</summary>
    private static void AddSettingsOfCurrentFolder(ConfigurationManager configuration)
    {
        var file = Path.Combine(Environment.CurrentDirectory, "appsettings.json");
        if (!File.Exists(file) || Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory) == Environment.CurrentDirectory)
        {
            return;
        }

        IList<IConfigurationSource> sources = configuration.Sources;
        var last = sources.ToList().FindLastIndex(s => s is JsonConfigurationSource);
        var own = new JsonConfigurationSource { Path = "appsettings.json", FileProvider = new PhysicalFileProvider(Environment.CurrentDirectory), Optional = true };
        sources.Insert(last + 1, own);
    }

    /// <summary>Reads the settings; null when something is wrong, after every error has been printed.</summary>
    public static Settings? ReadSettings(this WebApplicationBuilder builder)
    {
        var settings = Settings.Read(builder.Configuration, out var errors);
        return Refuse(errors) ? null : settings;
    }

    /// <summary>Prints what is wrong with the settings; false when nothing is.</summary>
    public static bool Refuse(IReadOnlyList<string> errors)
    {
        if (errors.Count == 0)
        {
            return false;
        }

        Console.Error.WriteLine(errors.Count == 1 ? "A setting is wrong:" : $"{errors.Count} settings are wrong:");
        foreach (var error in errors)
        {
            Console.Error.WriteLine("  " + error);
        }

        return true;
    }

    /// <summary>Bounds on connections, bodies and time.</summary>
    public static void AddLimits(this WebApplicationBuilder builder, Limits limits, Shutdown shutdown)
    {
        builder.Services.AddSingleton(limits);
        builder.Services.AddSingleton(shutdown);
        // One change of threads less a request, a twentieth of a short text's time. What takes long (a large body to tokenise) leaves the connection's thread first, see JsonBody.
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = limits.MaxBodyBytes;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(limits.MinBytesPerSecond, Grace);
            kestrel.Limits.MinResponseDataRate = new MinDataRate(limits.MinBytesPerSecond, Grace);
            kestrel.LimitConnections(limits, limits.MaxConnections);
        });
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(new TokenizeGate(limits.MaxTokenizing > 0 ? limits.MaxTokenizing : Environment.ProcessorCount));
        builder.Services.AddSingleton(services => new BytesInFlight(limits.MaxBytesInFlight > 0 ? limits.MaxBytesInFlight : BytesInFlight.Default(limits), services.GetRequiredService<TimeProvider>(), BytesInFlight.Collect));
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(shutdown.DrainSeconds + shutdown.TimeoutSeconds));
        builder.Services.AddSingleton<ServerState>();
        builder.Services.AddHostedService<Draining>();
    }

    /// <summary>Bodies that come compressed, and answers for clients that take them so.</summary>
    public static void AddCompression(this WebApplicationBuilder builder, Compression compression)
    {
        builder.Services.AddRequestDecompression();
        builder.Services.AddSingleton(compression);
        builder.Services.AddSingleton<IResponseCompressionProvider, AnswerCompression>();

        // Over HTTPS too: no answer holds a secret beside what its own client sent, so its length tells nobody anything.
        builder.Services.AddResponseCompression(options => options.EnableForHttps = true);
    }

    /// <summary>
    /// Moves ASP.NET Core's check of host names (<c>AllowedHosts</c>) from before all else, where it answers a page of its own, to where the pipeline has it: behind the log and the
    /// problem details.
    /// </summary>
    public static void MoveHostFiltering(this WebApplicationBuilder builder)
    {
        foreach (var filter in builder.Services.Where(static service => service.ServiceType == typeof(IStartupFilter) && service.ImplementationType?.Name == "HostFilteringStartupFilter").ToList())
        {
            builder.Services.Remove(filter);
        }

        builder.Services.Configure<HostFilteringOptions>(static options => options.IncludeFailureMessage = false);
    }

    /// <summary>The models.</summary>
    public static void AddModels(this WebApplicationBuilder builder, LoadingOptions options)
    {
        builder.Services.AddSingleton(options.Generation);
        builder.Services.AddSingleton(services => new ModelRegistry(options, services.GetRequiredService<ILoggerFactory>(), TimeProvider.System));
    }

    /// <summary>Answers are compressed, unless it is turned off.</summary>
    public static void UseCompression(this WebApplication app, Compression compression)
    {
        if (compression.Answers)
        {
            app.UseResponseCompression();
        }
    }

    /// <summary>The start page.</summary>
    public static void UseStartPage(this WebApplication app)
    {
        var files = new PhysicalFileProvider(Path.Combine(AppContext.BaseDirectory, "wwwroot"));
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
        app.UseStaticFiles(new StaticFileOptions { FileProvider = files, OnPrepareResponse = r => r.Context.Response.Headers.CacheControl = "no-cache" });
    }

    /// <summary>Listens at once, loads the models meanwhile, reports, and runs until it is told to stop. Gives the exit code.</summary>
    public static async Task<int> RunToEndAsync(this WebApplication app, Settings settings)
    {
        var log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("InferenceServer");
        ModelRegistry registry;
        try
        {
            registry = app.Services.GetRequiredService<ModelRegistry>();
        }
        catch (ExecutionProviderException e)
        {
            return Refused(e.Message);
        }

        foreach (var warning in settings.Warnings)
        {
            SettingWarning(log, warning);
        }

        var lifetime = app.Services.GetRequiredService<IHostApplicationLifetime>();
        ForcedEnd.Watch(lifetime, settings.Shutdown, log);
        var loading = Task.Run(() => registry.LoadAllAsync(lifetime.ApplicationStopping));
        HealthListener? health = null;
        if (settings.Health.Url is { Length: > 0 } url)
        {
            try
            {
                health = await HealthListener.StartAsync(url, app.Services);
            }
            catch (Exception e) when (e is IOException or InvalidOperationException or FormatException)
            {
                return Refused($"The server cannot listen for health probes: {e.Message} Choose another address with --Health:Url, for example --Health:Url http://localhost:8082.");
            }
        }

        try
        {
            await app.StartAsync();
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or FormatException)
        {
            return Refused($"The server cannot listen: {e.Message} Choose another address with --urls, for example --urls http://localhost:8081.");
        }

        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        try
        {
            if (HostNames.Warning(addresses, settings.AllowsAnyHost) is { } warning)
            {
                SettingWarning(log, warning);
            }

            await TellOfLongLoadingAsync(loading, registry, addresses, log);
            await loading;
            StartupReport.Write(registry, settings.Loading.Directory, addresses, health?.Addresses ?? [], settings.Logging.Format, log);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // Told to stop while loading.
        }
        catch (Exception e)
        {
            LoadingFailed(log, e); // a folder that cannot be served is no exception: this is a defect
            await app.StopAsync();
            await app.DisposeAsync();
            return 1;
        }

        await app.WaitForShutdownAsync();
        await (health?.DisposeAsync() ?? ValueTask.CompletedTask); // before the models that it tells of
        await app.DisposeAsync();
        return 0;
    }

    // The report comes when all are loaded; whoever waits longer than usual reads what for, and where the others are served meanwhile.
    private static async Task TellOfLongLoadingAsync(Task loading, ModelRegistry registry, ICollection<string> addresses, Microsoft.Extensions.Logging.ILogger log)
    {
        for (var pause = TimeSpan.FromSeconds(5); await Task.WhenAny(loading, Task.Delay(pause)) != loading; pause = TimeSpan.FromMinutes(1))
        {
            var statuses = registry.Models.Select(m => m.Status).ToList();
            StillLoading(
                log,
                string.Join(", ", statuses.Where(s => s.State == ModelState.Loading).Select(s => s.Id)),
                statuses.Count(s => s.State == ModelState.Ready),
                string.Join(", ", addresses.Select(StartupReport.Reachable)));
        }
    }

    [LoggerMessage(126, LogLevel.Information, "Still loading: {Models}. Ready: {Ready}, served meanwhile at {Addresses}")]
    private static partial void StillLoading(Microsoft.Extensions.Logging.ILogger log, string models, int ready, string addresses);

    [LoggerMessage(123, LogLevel.Critical, "A defect ended the loading of the models")]
    private static partial void LoadingFailed(Microsoft.Extensions.Logging.ILogger log, Exception exception);

    [LoggerMessage(124, LogLevel.Warning, "{Warning}")]
    private static partial void SettingWarning(Microsoft.Extensions.Logging.ILogger log, string warning);

    private static int Refused(string reason)
    {
        Console.Error.WriteLine(reason);
        Log.CloseAndFlush();
        return 1;
    }
}
