using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Perplexity;
using InferenceServer.Engine.Tasks.QuestionAnswering;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.ZeroShot;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/predictions</c>.</summary>
internal static class PredictionsEndpoint
{
    /// <summary>What is the request's own stands beside the inputs, what is the task's stands in <c>parameters</c>.</summary>
    private static readonly ErrorNames Names = new(argument =>
        argument.Root is nameof(PredictionsBody.Inputs) or nameof(PredictionsBody.Pairs) or nameof(PredictionsBody.Truncate) or nameof(PredictionsBody.TruncationDirection) ? ErrorNames.SnakeCase.Of(argument) : $"parameters.{ErrorNames.SnakeCase.Of(argument)}");

    private const long BytesPerEntry = 96; // a label, an entity or a token with its short strings and numbers

    /// <summary>Maps it.</summary>
    public static void MapPredictions(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/predictions", RunAsync)
        .Describes("predictions", "Ask the model's head", "Fill-mask, text, token and zero-shot classification, question answering, next token, perplexity: the head's own task unless 'task' names another that the model has. 'parameters' are those of the task.", "demo-language", """{"inputs": ["O gato dorme no sofá da sala.", "The cat sleeps on the sofa in the room."], "parameters": {"top_k": 3}}""")
        .WithMetadata(
            new FurtherExample("fill-mask", "demo-bert", """{"inputs": "The cat sleeps on the [MASK].", "parameters": {"top_k": 5}}"""),
            new FurtherExample("next-token", "demo-gpt", """{"inputs": "The cat sleeps on the", "parameters": {"top_k": 5}}"""),
            new FurtherExample("perplexity", "demo-gpt", """{"inputs": "The cat sleeps on the sofa.", "task": "perplexity"}"""))
        .WithMetadata(Names)
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<PredictionsAnswer>> RunAsync(InferenceCall call, JsonBody<PredictionsBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Prediction(call.Model, b.Task);
        var request = Request(task, b, call.Limits.MaxInputs);
        call.Begin(TaskNames.Of(task), request.Inputs.Count);
        var items = await call.RunAsync(() => task.RunAsync(call.Model, request, call.Context));
        return new(new PredictionsAnswer(call.Model.Manifest.Id, TaskNames.Of(task), items, call.Usage), call, BytesPerEntry * items.Sum(Entries));
    }

    private static long Entries(PredictionResult result) => result switch
    {
        TextClassificationResult r => r.Labels.Count,
        ZeroShotResult r => r.Labels.Count,
        QuestionAnsweringResult r => r.Answers.Count,
        NextTokenResult r => r.Candidates.Count,
        TokenClassificationResult r => r.Entities.Count,
        FillMaskResult r => r.Masks.Sum(static mask => (long)mask.Candidates.Count),
        PerplexityResult r => r.Tokens.Count,
        _ => 1,
    };

    /// <summary>The request of a task: its parameters by its own record, its inputs by what it takes.</summary>
    /// <exception cref="RequestException">A parameter or an input does not fit.</exception>
    internal static PredictionRequest Request(IPredictionTask task, PredictionsBody body, int max)
    {
        var inputs = task is QuestionAnsweringTask ? Questions(body, max) : Texts(body, max);
        return Parameters(task, body.Parameters) with { Inputs = inputs, Truncate = body.Truncate ?? false, TruncationDirection = body.TruncationDirection };
    }

    /// <summary>A task's parameters, in a request without inputs.</summary>
    /// <exception cref="RequestException">A parameter does not fit.</exception>
    internal static PredictionRequest Parameters(IPredictionTask task, JsonElement? parameters)
    {
        RefuseOthersParameters(task, parameters);
        return parameters is { ValueKind: not JsonValueKind.Null } given
            ? (PredictionRequest)JsonDiagnosis.Read(given, task.RequestType, "parameters")
            : (PredictionRequest)Activator.CreateInstance(task.RequestType)!;
    }

    /// <summary>A parameter that only another task has is no slip of the pen: the message says whose it is.</summary>
    private static void RefuseOthersParameters(IPredictionTask task, JsonElement? parameters)
    {
        if (parameters is not { ValueKind: JsonValueKind.Object } given)
        {
            return;
        }

        var own = JsonDiagnosis.Fields(task.RequestType).ToList();
        foreach (var member in given.EnumerateObject().Where(m => !own.Exists(m.NameEquals)))
        {
            var owners = TaskCatalogue.All.OfType<IPredictionTask>().Where(t => JsonDiagnosis.Fields(t.RequestType).Any(member.NameEquals)).Select(TaskNames.Of).ToList();
            if (owners.Count > 0)
            {
                var has = own.Count == 0 ? "has no parameters" : $"has {string.Join(", ", own)}";
                throw RequestException.Unprocessable($"parameters.{member.Name}", $"'{member.Name}' is a parameter of {string.Join(" and ", owners)}; {TaskNames.Of(task)} {has}. Leave it out, or name the task.");
            }
        }
    }

    private static IReadOnlyList<TextInput> Texts(PredictionsBody body, int max)
    {
        var pairs = body.Pairs is { ValueKind: not JsonValueKind.Null } given ? InputList.Of(given, "pairs") : null;
        return InputList.Of(body.Inputs, "inputs").WithPairs(pairs, max);
    }

    private static List<TextInput> Questions(PredictionsBody body, int max)
    {
        if (body.Pairs is { ValueKind: not JsonValueKind.Null })
        {
            throw RequestException.Unprocessable("pairs", "'pairs' is not for question answering: each input is an object with 'question' and 'context'. Leave 'pairs' out.");
        }

        var single = body.Inputs.ValueKind == JsonValueKind.Object;
        if (!single && body.Inputs.ValueKind != JsonValueKind.Array)
        {
            throw RequestException.Unprocessable("inputs", "'inputs' must be a list of objects with 'question' and 'context' for question answering, as in [{\"question\": \"Who?\", \"context\": \"Ana did.\"}].");
        }

        var elements = single ? [body.Inputs] : body.Inputs.EnumerateArray().ToArray();
        if (elements.Length == 0)
        {
            throw RequestException.Unprocessable("inputs", "'inputs' is an empty list; send at least 1 question.");
        }

        Bounds.Count("inputs", elements.Length, max);
        var questions = new List<TextInput>(elements.Length);
        for (var i = 0; i < elements.Length; i++)
        {
            var question = JsonDiagnosis.Read<QuestionBody>(elements[i], single ? "inputs" : $"inputs[{i}]");
            questions.Add(TextInput.OfQuestion(question.Question, question.Context, i));
        }

        return questions;
    }
}

/// <summary>What a model's head is asked. The form of inputs and parameters depends on the task.</summary>
internal sealed record PredictionsBody
{
    /// <summary>A text, a list of texts, or a list of lists of token ids; for question answering a list of objects with 'question' and 'context'.</summary>
    public required JsonElement Inputs { get; init; }

    /// <summary>Second texts, in the form of 'inputs'.</summary>
    public JsonElement? Pairs { get; init; }

    /// <summary>Cut texts that are too long, of a pair the longer text first. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Default: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>One of the model's tasks. Default: that of its head.</summary>
    public string? Task { get; init; }

    /// <summary>The task's parameters.</summary>
    public JsonElement? Parameters { get; init; }
}

/// <summary>A question and where its answer may stand.</summary>
internal sealed record QuestionBody
{
    /// <summary>The question.</summary>
    public required string Question { get; init; }

    /// <summary>The text that may answer it.</summary>
    public required string Context { get; init; }
}

/// <summary>Predictions in the order of the inputs.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Task">The task that ran.</param>
/// <param name="Items">One entry an input; its members depend on the task.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record PredictionsAnswer(string Model, string Task, IReadOnlyList<PredictionResult> Items, Usage Usage);
