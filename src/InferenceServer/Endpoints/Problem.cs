using System.Text.Json.Serialization;

namespace InferenceServer.Endpoints;

/// <summary>Problem details (RFC 9457): the body of every error.</summary>
internal sealed record Problem
{
    /// <summary>Media type of problem details.</summary>
    public const string ContentType = "application/problem+json";

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
    [JsonPropertyName("request_id")]
    public string? RequestId { get; init; }

    /// <summary>Models that are not ready (readiness only).</summary>
    public IReadOnlyList<ModelHealth>? Models { get; init; }
}
