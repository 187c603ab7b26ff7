using System.Globalization;
using System.Reflection;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>
/// A call of a model: leased and let in before the body is read, with the request's deadline and priority and the record
/// of what it costs. It is the first parameter of every endpoint that runs a model: parameters are bound in their order, the body after it.
/// </summary>
internal sealed class InferenceCall : IBindableFromHttpContext<InferenceCall>
{
    private readonly RequestRecord record;

    private readonly HttpContext http;

    private InferenceCall(HttpContext http, Model model, Limits limits, RequestContext context, RequestRecord record)
    {
        (this.http, Model, Limits, Context, this.record) = (http, model, limits, context, record);
    }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>Bounds on the request.</summary>
    public Limits Limits { get; }

    /// <summary>The request's cancellation and costs.</summary>
    public RequestContext Context { get; }

    /// <inheritdoc/>
    public static ValueTask<InferenceCall?> BindAsync(HttpContext context, ParameterInfo parameter)
    {
        var services = context.RequestServices;
        var limits = services.GetRequiredService<Limits>();
        var record = RequestRecord.Of(context);
        var id = (string)context.Request.RouteValues["model"]!;
        var lease = ModelsEndpoint.Known(services.GetRequiredService<ModelRegistry>(), id).Acquire();
        context.Response.RegisterForDispose(lease);
        record.Model = id;
        context.Response.Headers["x-model"] = id;

        var most = limits.RequestTimeout;
        if (context.GetEndpoint()?.Metadata.GetMetadata<LongRunning>() is not null)
        {
            most = TimeSpan.FromSeconds(services.GetRequiredService<GenerationOptions>().TimeoutSeconds);
            record.LimitSetting = "Generation:TimeoutSeconds";
        }

        record.Deadline = RequestHeaders.ReadDeadline(context.Request) is { } own && own < most ? own : null;
        var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        context.Response.RegisterForDispose(deadline);
        deadline.CancelAfter(record.Deadline ?? most);
        record.Cost = new RequestContext(deadline.Token)
        {
            MaxTokens = limits.MaxTokens,
            MaxTextCharacters = limits.MaxTextCharacters,
            Priority = RequestHeaders.ReadPriority(context.Request),
            Deadline = DateTimeOffset.UtcNow + (record.Deadline ?? most),
            Client = context.Connection.Id,
            BodyBytes = BodyEncoding.IsPlain(context.Request) ? context.Request.ContentLength : null, // compressed bytes say little of the tokens
            Fingerprint = () => RequestFingerprint.Of(context.Request),
        };
        context.Response.RegisterForDispose(lease.Enter(record.Cost));
        return ValueTask.FromResult<InferenceCall?>(new InferenceCall(context, lease.Model, limits, record.Cost, record));
    }

    /// <summary>Notes what is asked for, before it runs.</summary>
    public void Begin(string task, int items)
    {
        (record.Task, record.Items) = (task, items);
        if (EngineMetrics.Start(task, Model.Manifest.Id) is { } activity)
        {
            http.Response.RegisterForDispose(activity); // it ends with the answer
        }
    }

    /// <summary>So many bytes of the answer may be held until the client has taken it.</summary>
    /// <exception cref="RequestException">429: others hold what is left of the budget.</exception>
    public void Hold(long bytes) => http.RequestServices.GetRequiredService<BytesInFlight>().Of(http).Answer(bytes);

    /// <summary>
    /// Runs a task; while a large request is tokenised it holds a place of <see cref="TokenizeGate"/>. A task tokenises all its texts before it first waits, for the queue: until then it has
    /// the thread.
    /// </summary>
    public async Task<TResult> RunAsync<TResult>(Func<Task<TResult>> task)
    {
        var services = http.RequestServices;
        if (services.GetRequiredService<BytesInFlight>().Of(http).BodyBytes <= BytesInFlight.Free)
        {
            return await task();
        }

        Task<TResult> running;
        using (await services.GetRequiredService<TokenizeGate>().EnterAsync(Context.Cancellation))
        {
            running = task();
        }

        return await running;
    }

    /// <summary>What it cost, for the answer's body.</summary>
    public Usage Usage => new(Context.Tokens);

    /// <summary>Sets the headers that every inference has.</summary>
    public void WriteHeaders(HttpResponse response)
    {
        response.Headers["x-tokenize-ms"] = RequestLog.Milliseconds(Context.Tokenize);
        response.Headers["x-queue-ms"] = RequestLog.Milliseconds(Context.Queue);
        response.Headers["x-inference-ms"] = RequestLog.Milliseconds(Context.Inference);
        response.Headers["x-batch-size"] = Context.BatchSize.ToString(CultureInfo.InvariantCulture);
        response.Headers["x-tokens"] = Context.Tokens.ToString(CultureInfo.InvariantCulture);
    }
}

/// <summary>What a request cost.</summary>
/// <param name="Tokens">Tokens of all inputs, special tokens included, padding not.</param>
internal sealed record Usage(long Tokens);
