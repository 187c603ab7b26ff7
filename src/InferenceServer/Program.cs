// The server, read top to bottom. Each line leads to its own file.
using InferenceServer.Configuration;
using InferenceServer.Hosting;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;
using InferenceServer.Http.OpenApi;

return await CommandLine.RunAsync(args, serve: ServeAsync, inspect: Inspection.Print);

static async Task<int> ServeAsync(string[] args)
{
    ServerLog.Start();
    var builder = ServerHost.CreateBuilder(args);
    if (builder.ReadSettings() is not { } settings)
    {
        return 1;
    }

    builder.AddServerLog(settings.Logging);
    builder.AddLimits(settings.Limits, settings.Shutdown);
    builder.MoveHostFiltering();
    builder.AddCompression(settings.Compression);
    builder.AddModels(settings.Loading);
    builder.AddOpenApi(CommandLine.Version);

    var app = builder.Build();
    app.UseFirstRequest();
    app.UseMiddleware<RequestLog>();
    app.UseMiddleware<SecurityHeaders>();
    app.UseMiddleware<ProblemWriter>();
    app.UseHostFiltering();
    app.UseCompression(settings.Compression);
    app.UseStartPage();
    app.UseOpenApi();
    app.UseRouting();

    app.MapModels();
    app.MapEmbeddings();
    app.MapPredictions();
    app.MapGenerations();
    app.MapAttention();
    app.MapAblation();
    app.MapTokenize();
    app.MapDetokenize();
    app.MapRerank();
    app.MapSimilarity();
    app.MapHealth();
    return await app.RunToEndAsync(settings);
}
