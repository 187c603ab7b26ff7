using InferenceServer.Configuration;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.Extensions.Options;

namespace InferenceServer.Http.Middleware;

/// <summary>Which answers are compressed: texts (JSON and pages) from a size on, for clients that take it.</summary>
internal sealed class AnswerCompression(IServiceProvider services, IOptions<ResponseCompressionOptions> options, Compression settings) : ResponseCompressionProvider(services, options)
{
    /// <inheritdoc/>
    public override bool ShouldCompressResponse(HttpContext context) =>
        (SizeOf(context.Response) is not { } size || size >= settings.MinAnswerBytes) && base.ShouldCompressResponse(context);

    /// <summary>The size of an answer as far as it is known at its first write: declared, or what is about to be flushed (a small answer whole); null where it is not.</summary>
    private static long? SizeOf(HttpResponse response) =>
        response.ContentLength ?? (response.BodyWriter is { CanGetUnflushedBytes: true, UnflushedBytes: > 0 and var waiting } ? waiting : null);
}
