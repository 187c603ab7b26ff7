using System.Buffers;
using System.Buffers.Text;
using System.IO.Pipelines;
using System.Reflection;
using System.Text;
using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.Http.Metadata;

namespace InferenceServer.Http.Native;

/// <summary>An answer in JSON, written as it is made: no string or buffer of the whole, however large it is.</summary>
/// <typeparam name="T">The answer's record.</typeparam>
/// <param name="value">The answer.</param>
/// <param name="call">The call that it answers, where a model ran.</param>
/// <param name="held">Bytes of the computed numbers that are held until the client has taken the answer.</param>
internal sealed class JsonAnswer<T>(T value, InferenceCall? call = null, long held = 0) : IResult, IEndpointMetadataProvider
{
    /// <inheritdoc/>
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, held, cancellation =>
    {
        httpContext.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(httpContext.Response.BodyWriter, value, WireJson.Answers, cancellation);
    });

    /// <inheritdoc/>
    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(T), ["application/json"]));
}

/// <summary>An answer in JSON one of whose strings is base64 of many bytes, encoded as it is written.</summary>
/// <typeparam name="T">The answer's record.</typeparam>
/// <param name="value">Makes the answer from the string that stands for the base64.</param>
/// <param name="payload">The bytes.</param>
/// <param name="call">The call that it answers.</param>
internal sealed class Base64Answer<T>(Func<string, T> value, ReadOnlyMemory<byte> payload, InferenceCall call) : IResult
{
    private const int PieceBytes = 48 << 10; // a multiple of 3: no padding within

    /// <inheritdoc/>
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, payload.Length, async cancellation =>
    {
        var place = Guid.NewGuid().ToString("n");
        var frame = JsonSerializer.SerializeToUtf8Bytes(value(place), WireJson.Answers);
        var at = frame.AsSpan().IndexOf(Encoding.ASCII.GetBytes(place));
        httpContext.Response.ContentType = "application/json; charset=utf-8";
        var writer = httpContext.Response.BodyWriter;
        writer.Write(frame.AsSpan(0, at));
        for (var from = 0; from < payload.Length; from += PieceBytes)
        {
            var piece = payload.Span.Slice(from, Math.Min(PieceBytes, payload.Length - from));
            Base64.EncodeToUtf8(piece, writer.GetSpan(Base64.GetMaxEncodedToUtf8Length(piece.Length)), out _, out var written);
            writer.Advance(written);
            if (await AnswerWriter.NobodyReadsAsync(writer, cancellation))
            {
                return;
            }
        }

        writer.Write(frame.AsSpan(at + place.Length));
        await writer.FlushAsync(cancellation);
    });
}

/// <summary>An answer that is a file.</summary>
internal sealed class FileAnswer(byte[] content, string contentType, string name, InferenceCall call) : IResult
{
    private const int PieceBytes = 64 << 10;

    /// <inheritdoc/>
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, content.Length, async cancellation =>
    {
        httpContext.Response.ContentType = contentType;
        httpContext.Response.ContentLength = content.Length;
        httpContext.Response.Headers.ContentDisposition = $"attachment; filename=\"{name}\"";
        var writer = httpContext.Response.BodyWriter;
        for (var from = 0; from < content.Length; from += PieceBytes)
        {
            writer.Write(content.AsSpan(from, Math.Min(PieceBytes, content.Length - from)));
            if (await AnswerWriter.NobodyReadsAsync(writer, cancellation))
            {
                return;
            }
        }
    });
}

/// <summary>Writes answers within the time and the memory that answers have.</summary>
internal static class AnswerWriter
{
    /// <summary>Sends an answer; one that is not taken within <c>Limits:AnswerTimeoutSeconds</c> is cut off.</summary>
    /// <param name="http">The request.</param>
    /// <param name="call">The call that it answers, where a model ran.</param>
    /// <param name="held">Bytes that are held until it is taken.</param>
    /// <param name="write">Writes it.</param>
    /// <exception cref="RequestException">429: other answers hold too much.</exception>
    public static async Task SendAsync(HttpContext http, InferenceCall? call, long held, Func<CancellationToken, Task> write)
    {
        var services = http.RequestServices;
        if (held > 0)
        {
            services.GetRequiredService<BytesInFlight>().Of(http).Answer(held);
        }

        call?.WriteHeaders(http.Response);
        using var deadline = new CancellationTokenSource(services.GetRequiredService<Limits>().AnswerTimeout, services.GetRequiredService<TimeProvider>());
        using var either = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, deadline.Token);
        try
        {
            await write(either.Token);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            RequestRecord.Of(http).Cut = ErrorTable.Status(ErrorCode.DeadlinePassed);
            http.Abort();
        }
    }

    /// <summary>Sends what was written; true when the client has gone.</summary>
    public static async ValueTask<bool> NobodyReadsAsync(PipeWriter writer, CancellationToken cancellation)
    {
        var result = await writer.FlushAsync(cancellation);
        return result.IsCompleted || result.IsCanceled;
    }
}
