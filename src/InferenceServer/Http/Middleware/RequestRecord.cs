using System.Diagnostics;
using System.Globalization;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Http.Middleware;

/// <summary>What is known of a request while it travels: for its one log line and its response headers.</summary>
internal sealed class RequestRecord(string id)
{
    /// <summary>The request's id: the client's own when it is sane, else a new one.</summary>
    public string Id { get; } = id;

    /// <summary>When it arrived.</summary>
    public long Started { get; } = Stopwatch.GetTimestamp();

    /// <summary>The model that was asked for, once it was found.</summary>
    public string? Model { get; set; }

    /// <summary>The task, once it is known.</summary>
    public string? Task { get; set; }

    /// <summary>Number of inputs.</summary>
    public int Items { get; set; }

    /// <summary>The client's own deadline, where it is earlier than the server's.</summary>
    public TimeSpan? Deadline { get; set; }

    /// <summary>True when the client went away before it had the whole answer.</summary>
    public bool ClientGone { get; set; }

    /// <summary>Where the server cut its answer off after it had begun: the status that tells why.</summary>
    public int? Cut { get; set; }

    /// <summary>The deadline that holds, as messages name it.</summary>
    public string DeadlineName => Deadline is { } own ? string.Create(CultureInfo.InvariantCulture, $"the {own.TotalMilliseconds:0} ms of its header x-deadline-ms") : $"the server's time limit (setting {LimitSetting})";

    /// <summary>The setting of the server's own deadline.</summary>
    public string LimitSetting { get; set; } = "Limits:RequestTimeoutSeconds";

    /// <summary>What it cost; null for requests that run no model.</summary>
    public RequestContext? Cost { get; set; }

    /// <summary>The record of a request.</summary>
    public static RequestRecord Of(HttpContext context) => context.Features.Get<RequestRecord>()!;
}
