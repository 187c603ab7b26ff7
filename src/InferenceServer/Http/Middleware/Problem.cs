using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Engine.Serving;

namespace InferenceServer.Http.Middleware;

/// <summary>Problem details (RFC 9457): the body of every error.</summary>
internal sealed record Problem
{
    /// <summary>Media type of problem details.</summary>
    public const string ContentType = "application/problem+json";

    /// <summary>How problem details are written, in every dialect that has them: names in snake_case, nothing that is null.</summary>
    public static JsonSerializerOptions Json { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false) },
    };

    /// <summary>The kind of error, as a URN.</summary>
    public required string Type { get; init; }

    /// <summary>The kind of error, for people.</summary>
    public required string Title { get; init; }

    /// <summary>HTTP status.</summary>
    public required int Status { get; init; }

    /// <summary>What is wrong with this request: the field, the value's limit, the remedy.</summary>
    public required string Detail { get; init; }

    /// <summary>The field at fault, as a path of the wire names (<c>inputs[3]</c>, <c>parameters.top_k</c>).</summary>
    public string? Field { get; init; }

    /// <summary>The request's id, as in the header <c>x-request-id</c> and in the server's log.</summary>
    public string? RequestId { get; init; }

    /// <summary>Every field at fault, 20 at most, where several are.</summary>
    public IReadOnlyList<ProblemError>? Errors { get; init; }

    /// <summary>Models that are not ready (readiness only).</summary>
    public IReadOnlyList<ModelHealth>? Models { get; init; }
}

/// <summary>One of several fields at fault.</summary>
/// <param name="Field">Its path.</param>
/// <param name="Detail">What is wrong with it.</param>
internal sealed record ProblemError(string Field, string Detail);

/// <summary>How a model is.</summary>
/// <param name="Id">The model's id.</param>
/// <param name="State">What it is doing.</param>
/// <param name="Reason">Why it failed.</param>
internal sealed record ModelHealth(string Id, ModelState State, string? Reason = null);
