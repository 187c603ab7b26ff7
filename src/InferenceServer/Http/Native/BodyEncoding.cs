using System.IO.Pipelines;
using Microsoft.AspNetCore.RequestDecompression;

namespace InferenceServer.Http.Native;

/// <summary>The encodings that a request's body may come in (RFC 9110, 8.4.1): gzip, deflate and br.</summary>
internal static class BodyEncoding
{
    /// <summary>What is read, as the header <c>accept-encoding</c> lists it.</summary>
    public const string Known = "gzip, deflate, br";

    private const int BufferBytes = 64 * 1024;

    /// <summary>Whether the body is sent as it is.</summary>
    public static bool IsPlain(HttpRequest request) =>
        request.Headers.ContentEncoding is var encoding && (encoding.Count == 0 || (encoding.Count == 1 && (encoding[0] is null or "" || encoding[0]!.Equals("identity", StringComparison.OrdinalIgnoreCase))));

    /// <summary>The body as it was before its sender compressed it; it is decompressed as it is read, so its size is bounded by who reads.</summary>
    /// <exception cref="BadHttpRequestException">415: it comes in another encoding.</exception>
    public static PipeReader Open(HttpContext context)
    {
        if (IsPlain(context.Request))
        {
            return context.Request.BodyReader;
        }

        var encoding = context.Request.Headers.ContentEncoding.ToString();
        var decompressed = context.RequestServices.GetRequiredService<IRequestDecompressionProvider>().GetDecompressionStream(context);
        if (decompressed is null)
        {
            context.Response.Headers.AcceptEncoding = Known;
            throw new BadHttpRequestException($"The body's encoding is '{(encoding.Length > 60 ? encoding[..60] + "..." : encoding)}'; this server reads {Known}, one of them at a time. Send the body in one of these, or without the header 'content-encoding'.", StatusCodes.Status415UnsupportedMediaType);
        }

        return PipeReader.Create(decompressed, new StreamPipeReaderOptions(bufferSize: BufferBytes));
    }
}
