using System.Reflection;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Metadata;

namespace InferenceServer.Http.Native;

/// <summary>An answer in JSON, written as it is made: no string or buffer of the whole, however large it is.</summary>
/// <typeparam name="T">The answer's record.</typeparam>
internal sealed class JsonAnswer<T>(T value, InferenceCall? call = null) : IResult, IEndpointMetadataProvider
{
    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        call?.WriteHeaders(httpContext.Response);
        httpContext.Response.ContentType = "application/json; charset=utf-8";
        await JsonSerializer.SerializeAsync(httpContext.Response.BodyWriter, value, WireJson.Answers, httpContext.RequestAborted);
    }

    /// <inheritdoc/>
    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(T), ["application/json"]));
}

/// <summary>An answer that is a file.</summary>
internal sealed class FileAnswer(byte[] content, string contentType, string name, InferenceCall call) : IResult
{
    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        call.WriteHeaders(httpContext.Response);
        httpContext.Response.ContentType = contentType;
        httpContext.Response.ContentLength = content.Length;
        httpContext.Response.Headers.ContentDisposition = $"attachment; filename=\"{name}\"";
        await httpContext.Response.Body.WriteAsync(content, httpContext.RequestAborted);
    }
}
