using System.Buffers;
using System.IO.Pipelines;
using System.Reflection;
using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;

namespace InferenceServer.Http.Native;

/// <summary>A request's body, read strictly: unknown and repeated fields are refused by name, every error says where it is and what was expected.</summary>
/// <typeparam name="T">The body's record.</typeparam>
internal sealed class JsonBody<T>(T value) : IBindableFromHttpContext<JsonBody<T>>, IEndpointParameterMetadataProvider
    where T : class
{
    /// <summary>The body.</summary>
    public T Value { get; } = value;

    private const int QuickBytes = 16 << 10; // parsed and tokenised within about a millisecond

    /// <summary>Leaves the limit of the body to this class; before the first byte is read.</summary>
    internal static void LiftLimit(HttpContext context)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
        {
            feature.MaxRequestBodySize = null;
        }
    }

    /// <inheritdoc/>
    public static async ValueTask<JsonBody<T>?> BindAsync(HttpContext context, ParameterInfo parameter)
    {
        if (!context.Request.HasJsonContentType() || !IsUtf8(context.Request.GetTypedHeaders().ContentType?.Charset.Value))
        {
            throw new BadHttpRequestException("The body must be JSON in UTF-8: send the header 'content-type: application/json'.", StatusCodes.Status415UnsupportedMediaType);
        }

        // The limit is kept here and not by Kestrel: Kestrel would close the connection while the client still sends, and the client would
        // see a broken pipe instead of the reason. What is left of the body is thrown away after the answer, for 5 s at most.
        var limit = context.RequestServices.GetRequiredService<Limits>().MaxBodyBytes;
        LiftLimit(context);
        Bound(context.Request.ContentLength ?? 0, limit);
        var plain = BodyEncoding.IsPlain(context.Request);
        var reader = BodyEncoding.Open(context);
        var bytes = context.RequestServices.GetRequiredService<BytesInFlight>().Of(context);
        var deadline = RequestRecord.Of(context).Cost?.Cancellation ?? context.RequestAborted;
        try
        {
            return new JsonBody<T>(await ReadAsync(reader, limit, bytes, deadline));
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested)
        {
            if (HttpProtocol.IsHttp11(context.Request.Protocol))
            {
                context.Response.Headers.Connection = "close"; // nobody waits for the rest
            }

            throw new RequestException(ErrorCode.DeadlinePassed, $"The body did not arrive within {RequestRecord.Of(context).DeadlineName}. Send it faster, or in smaller requests.");
        }
        catch (Exception e) when (!plain && e is InvalidDataException or InvalidOperationException)
        {
            throw new RequestException(ErrorCode.Malformed, "The body cannot be decompressed: it is damaged, cut off, or in another encoding than its header 'content-encoding' says. Send it whole, in the encoding that is named.");
        }
        finally
        {
            if (!plain)
            {
                await reader.CompleteAsync();
            }
        }
    }

    /// <inheritdoc/>
    public static void PopulateMetadata(ParameterInfo parameter, EndpointBuilder builder) =>
        builder.Metadata.Add(new AcceptsMetadata(["application/json"], typeof(T)));

    /// <summary>Parses a whole body.</summary>
    /// <exception cref="RequestException">It is not such a body; the message says where and what was expected.</exception>
    internal static T Parse(ReadOnlySequence<byte> body)
    {
        try
        {
            var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = WireJson.MaxDepth });
            var value = JsonSerializer.Deserialize<T>(ref reader, WireJson.Requests);
            while (reader.Read())
            {
                // Anything after the value throws.
            }

            return value ?? throw new RequestException(ErrorCode.Malformed, $"The body is null; expected an object with the fields {string.Join(", ", JsonDiagnosis.Fields(typeof(T)))}.");
        }
        catch (JsonException e)
        {
            throw JsonDiagnosis.Explain(e, body, typeof(T));
        }
    }

    /// <summary>Reads a body to its end; what is counted against the limit are the bytes that the reader gives, after decompression.</summary>
    private static async Task<T> ReadAsync(PipeReader reader, long limit, BytesInFlight.RequestBytes bytes, CancellationToken cancellation)
    {
        BodySegment? first = null;
        BodySegment? last = null;
        while (true)
        {
            var read = await reader.ReadAsync(cancellation);
            var length = read.Buffer.Length + (last?.End ?? 0);
            try
            {
                Bound(length, limit);
                bytes.Body(length);
            }
            catch
            {
                reader.AdvanceTo(read.Buffer.End); // what follows is thrown away
                throw;
            }

            if (read.IsCompleted && length <= QuickBytes && first is null)
            {
                try
                {
                    return Parse(read.Buffer);
                }
                finally
                {
                    reader.AdvanceTo(read.Buffer.End);
                }
            }

            if (read.IsCompleted || read.Buffer.Length > QuickBytes)
            {
                // A large body is moved to memory of its own: what is held in the buffers of connections is kept by them long after.
                last = BodySegment.Append(last, read.Buffer);
                first ??= last;
                reader.AdvanceTo(read.Buffer.End);
            }
            else
            {
                reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            }

            if (read.IsCompleted)
            {
                await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // from the thread of the connection, which then still sees its client go
                return Parse(first is null ? default : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length));
            }
        }
    }

    private static void Bound(long length, long limit)
    {
        if (length > limit)
        {
            throw new RequestException(ErrorCode.TooLarge, $"The body is larger than {limit} bytes (setting Limits:MaxBodyBytes; a compressed body counts decompressed). Send fewer inputs a request.");
        }
    }

    /// <summary>A piece of a large body.</summary>
    private sealed class BodySegment : ReadOnlySequenceSegment<byte>
    {
        private BodySegment(byte[] bytes, long index) => (Memory, RunningIndex) = (bytes, index);

        /// <summary>Where it ends in the body.</summary>
        public long End => RunningIndex + Memory.Length;

        /// <summary>A copy of what has come, after what came before.</summary>
        public static BodySegment Append(BodySegment? before, ReadOnlySequence<byte> bytes)
        {
            var segment = new BodySegment(bytes.ToArray(), before?.End ?? 0);
            before?.Next = segment;
            return segment;
        }
    }

    private static bool IsUtf8(string? charset) => charset is null || charset.Trim('"').Equals("utf-8", StringComparison.OrdinalIgnoreCase);
}
