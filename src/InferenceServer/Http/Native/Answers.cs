using System.Buffers;
using System.Buffers.Text;
using System.IO.Pipelines;
using System.Reflection;
using System.Text;
using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks.Attention;
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
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, held, (writer, cancellation) =>
    {
        httpContext.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(writer, value, WireJson.Answers, cancellation);
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
internal sealed class Base64Answer<T>(Func<string, T> value, AttentionPayload payload, InferenceCall call) : IResult
{
    private const int PieceBytes = 48 << 10; // a multiple of 3, so that there is no padding within, and of 4

    /// <inheritdoc/>
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, payload.Held, async (writer, cancellation) =>
    {
        var place = Guid.NewGuid().ToString("n");
        var frame = JsonSerializer.SerializeToUtf8Bytes(value(place), WireJson.Answers);
        var at = frame.AsSpan().IndexOf(Encoding.ASCII.GetBytes(place));
        httpContext.Response.ContentType = "application/json; charset=utf-8";
        writer.Write(frame.AsSpan(0, at));
        foreach (var piece in payload.Pieces(PieceBytes))
        {
            Base64.EncodeToUtf8(piece.Span, writer.GetSpan(Base64.GetMaxEncodedToUtf8Length(piece.Length)), out _, out var written);
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
internal sealed class FileAnswer(AttentionPayload content, string contentType, string name, InferenceCall call) : IResult
{
    private const int PieceBytes = 64 << 10;

    /// <inheritdoc/>
    public Task ExecuteAsync(HttpContext httpContext) => AnswerWriter.SendAsync(httpContext, call, content.Held, async (writer, cancellation) =>
    {
        httpContext.Response.ContentType = contentType;
        httpContext.Response.ContentLength = content.Length;
        httpContext.Response.Headers.ContentDisposition = $"attachment; filename=\"{name}\"";
        foreach (var piece in content.Pieces(PieceBytes))
        {
            writer.Write(piece.Span);
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
    /// <summary>Sends an answer; one whose client falls behind the rate of <see cref="AnswerDeadline"/> is cut off.</summary>
    /// <param name="http">The request.</param>
    /// <param name="call">The call that it answers, where a model ran.</param>
    /// <param name="held">Bytes that are held until it is taken.</param>
    /// <param name="write">Writes it.</param>
    /// <exception cref="RequestException">429: other answers hold too much.</exception>
    public static async Task SendAsync(HttpContext http, InferenceCall? call, long held, Func<PipeWriter, CancellationToken, Task> write)
    {
        var services = http.RequestServices;
        if (held > 0)
        {
            services.GetRequiredService<BytesInFlight>().Of(http).Answer(held);
        }

        call?.WriteHeaders(http.Response);
        using var deadline = new AnswerDeadline(services.GetRequiredService<Limits>(), services.GetRequiredService<TimeProvider>());
        using var either = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, deadline.Token);
        try
        {
            await write(new TakenWriter(http.Response.BodyWriter, deadline), either.Token);
        }
        catch (OperationCanceledException) when (deadline.Token.IsCancellationRequested)
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

/// <summary>
/// The time that a client has to take its answer: <c>Limits:AnswerTimeoutSeconds</c>, and more for every byte that it has taken, at <c>Limits:MinAnswerBytesPerSecond</c>. Who keeps up that
/// rate has all the time that the answer takes, who does not read has the first alone.
/// </summary>
internal sealed class AnswerDeadline : IDisposable
{
    private const double MostSeconds = 30 * 86_400; // a timer takes 49 days

    private readonly Limits limits;
    private readonly TimeProvider time;
    private readonly long started;
    private readonly CancellationTokenSource source;
    private long taken;

    /// <summary>The time begins.</summary>
    public AnswerDeadline(Limits limits, TimeProvider time)
    {
        (this.limits, this.time) = (limits, time);
        started = time.GetTimestamp();
        source = new CancellationTokenSource(limits.AnswerTimeout, time);
    }

    /// <summary>Fires when the time is over.</summary>
    public CancellationToken Token => source.Token;

    /// <summary>The client has taken so many bytes more.</summary>
    public void Taken(long bytes)
    {
        taken += bytes;
        var left = limits.AnswerTimeout + TimeSpan.FromSeconds(Math.Min(taken / limits.MinAnswerBytesPerSecond, MostSeconds)) - time.GetElapsedTime(started);
        source.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    /// <inheritdoc/>
    public void Dispose() => source.Dispose();
}

/// <summary>Tells a deadline what has been taken: a flush ends when Kestrel holds little of what was written.</summary>
internal sealed class TakenWriter(PipeWriter inner, AnswerDeadline deadline) : PipeWriter
{
    private long written;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => written;

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        inner.Advance(bytes);
        written += bytes;
    }

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

    /// <inheritdoc/>
    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        var result = await inner.FlushAsync(cancellationToken);
        deadline.Taken(written);
        written = 0;
        return result;
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => inner.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => inner.Complete(exception);
}
