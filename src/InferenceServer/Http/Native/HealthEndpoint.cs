using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Serving;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>GET /health/live</c>, <c>/health/ready</c> and <c>/health/ready/{model}</c>.</summary>
internal static class HealthEndpoint
{
    /// <summary>Maps them.</summary>
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/health/live", () => new JsonAnswer<HealthAnswer>(new HealthAnswer("live")))
            .Describes("live", "Is the process alive?", "Fails only when the process must be restarted.");
        routes.MapGet("/health/ready", Ready)
            .Produces<HealthAnswer>()
            .Describes("ready", "Can requests be sent?", "200 when no folder is loading and at least one model is ready; models that failed are named. 503 while loading and while the server drains.")
            .Refuses(503);
        routes.MapGet("/health/ready/{model}", ReadyModel)
            .Produces<HealthAnswer>()
            .Describes("ready_model", "Can this model be asked?", "200 when the model is ready, else 503 with its state.", "demo-bert")
            .Refuses(404, 503);
    }

    private static IResult Ready(ModelRegistry registry, ServerState server)
    {
        var models = registry.Models.Select(m => m.Status).Select(e => new ModelHealth(e.Id, e.State, e.Reason)).ToList();
        if (!server.IsDraining && registry.IsReady)
        {
            return new JsonAnswer<HealthAnswer>(new HealthAnswer("ready", models));
        }

        var reason = server.IsDraining ? "The server is draining; send requests to another."
            : registry.IsStarting || models.Any(m => m.State == ModelState.Loading) ? "Models are still loading; try again in a moment."
            : models.Count == 0 ? "The models directory holds no model folder. Put one there, or name another directory with --models."
            : "No model is ready. GET /api/models says why for each.";
        return new Unready(reason, models);
    }

    private static IResult ReadyModel(string model, ModelRegistry registry, ServerState server)
    {
        var entry = ModelsEndpoint.Known(registry, model).Status;
        var health = new ModelHealth(entry.Id, entry.State, entry.Reason);
        return entry.State == ModelState.Ready && !server.IsDraining
            ? new JsonAnswer<HealthAnswer>(new HealthAnswer("ready", [health]))
            : new Unready(server.IsDraining ? "The server is draining; send requests to another." : $"The model '{entry.Id}' is {WireJson.Name(entry.State)}{(entry.Reason is null ? "" : ": " + entry.Reason)}.", [health]);
    }

    /// <summary>503 as problem details with the models beside.</summary>
    private sealed class Unready(string detail, IReadOnlyList<ModelHealth> models) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            var row = ErrorTable.Row(ErrorCode.Unavailable);
            httpContext.Response.Headers.RetryAfter = "1";
            return ProblemWriter.WriteAsync(httpContext, new Problem
            {
                Type = "urn:inference-server:error:" + row.Name,
                Title = row.Title,
                Status = row.Status,
                Detail = detail,
                RequestId = RequestRecord.Of(httpContext).Id,
                Models = models,
            });
        }
    }
}

/// <summary>How the server is.</summary>
/// <param name="Status">live or ready.</param>
/// <param name="Models">The models and their states.</param>
internal sealed record HealthAnswer(string Status, IReadOnlyList<ModelHealth>? Models = null);
