using InferenceServer.Configuration;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace InferenceServer.Hosting;

/// <summary>How many connections may be open, and how long one may be without a request.</summary>
internal static class Connections
{
    /// <summary>
    /// What a connection may last beyond the time-out of headers before its first request: Kestrel looks at its own time-outs once a second and rounds up, and a client that sends its headers
    /// too slowly gets its 408 first.
    /// </summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    /// <summary>Sets the bounds for every address that the server listens on.</summary>
    /// <param name="kestrel">The server's options.</param>
    /// <param name="limits">The times.</param>
    /// <param name="most">Most connections at a time; more are closed at once.</param>
    public static void LimitConnections(this KestrelServerOptions kestrel, Limits limits, int most)
    {
        kestrel.Limits.MaxConcurrentConnections = most;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(limits.HeadersTimeoutSeconds);
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(limits.KeepAliveSeconds);
        kestrel.ConfigureEndpointDefaults(endpoint => endpoint.Use(next => connection => UntilFirstRequestAsync(connection, next, kestrel.Limits.RequestHeadersTimeout + Grace, TimeProvider.System)));
    }

    /// <summary>Serves a connection, and cuts it when no request has come within the limit. Kestrel's own time-out of headers begins with the first byte, so without this a client that says nothing, not even in TLS or HTTP/2, stays.</summary>
    internal static async Task UntilFirstRequestAsync(ConnectionContext connection, ConnectionDelegate next, TimeSpan limit, TimeProvider time)
    {
        var first = new FirstRequest(connection);
        connection.Features.Set(first);
        await using (time.CreateTimer(static state => ((FirstRequest)state!).Cut(), first, limit, Timeout.InfiniteTimeSpan))
        {
            await next(connection);
        }
    }

    /// <summary>Notes that a connection has sent a request: from then on it may be idle for <c>Limits:KeepAliveSeconds</c>.</summary>
    public static void UseFirstRequest(this IApplicationBuilder app) => app.Use(static (context, next) =>
    {
        context.Features.Get<FirstRequest>()?.Came();
        return next(context);
    });

    /// <summary>Whether a connection's first request has come; a feature of the connection.</summary>
    internal sealed class FirstRequest(ConnectionContext connection)
    {
        private volatile bool came;

        /// <summary>The headers of a request have been read.</summary>
        public void Came() => came = true;

        /// <summary>Ends the connection unless a request has come.</summary>
        public void Cut()
        {
            if (!came)
            {
                connection.Abort(new ConnectionAbortedException("No request came within Limits:HeadersTimeoutSeconds."));
            }
        }
    }
}
