using Microsoft.AspNetCore.Connections.Features;

namespace InferenceServer.Http.Middleware;

/// <summary>Headers that every answer has: nothing is sniffed, framed or loaded from elsewhere, no inline script runs.</summary>
internal sealed class SecurityHeaders(RequestDelegate next, ServerState server)
{
    private const string Strict = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    // Swagger UI sets styles on its elements; its scripts are files.
    private const string SwaggerUi = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

    public Task InvokeAsync(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = context.Request.Path.StartsWithSegments("/swagger") ? SwaggerUi : Strict;
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        if (context.Request.Path.StartsWithSegments("/api") || context.Request.Path.StartsWithSegments("/health"))
        {
            headers.CacheControl = "no-store";
        }

        if (server.IsDraining)
        {
            // The client's next request goes to a server that stays. HTTP/2 has no such header; there the connection takes no further streams (GOAWAY).
            if (HttpProtocol.IsHttp2(context.Request.Protocol))
            {
                context.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
            }
            else
            {
                headers.Connection = "close";
            }
        }

        return next(context);
    }
}
