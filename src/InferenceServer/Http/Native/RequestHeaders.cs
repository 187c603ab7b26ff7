using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>Headers that go with every inference: how long the client waits, and how urgent it is.</summary>
internal static class RequestHeaders
{
    /// <summary>Milliseconds after which the client no longer wants the answer.</summary>
    public const string Deadline = "x-deadline-ms";

    /// <summary>Interactive or bulk.</summary>
    public const string Priority = "x-priority";

    /// <summary>The client's deadline; null when it names none.</summary>
    /// <exception cref="RequestException">It is no whole number of milliseconds from 1 on.</exception>
    public static TimeSpan? ReadDeadline(HttpRequest request)
    {
        if (!request.Headers.TryGetValue(Deadline, out var values))
        {
            return null;
        }

        return int.TryParse(values.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) && milliseconds > 0
            ? TimeSpan.FromMilliseconds(milliseconds)
            : throw new RequestException(ErrorCode.Malformed, $"The header {Deadline} is '{Shown(values.ToString())}'; expected a whole number of milliseconds from 1 to {int.MaxValue}. Send such a number, or leave the header out.", Deadline);
    }

    /// <summary>The priority; interactive when the client names none.</summary>
    /// <exception cref="RequestException">It is none of the known ones.</exception>
    public static Priority ReadPriority(HttpRequest request)
    {
        if (!request.Headers.TryGetValue(Priority, out var values))
        {
            return default;
        }

        foreach (var priority in Enum.GetValues<Priority>())
        {
            if (values.ToString() == WireJson.Name(priority))
            {
                return priority;
            }
        }

        throw new RequestException(ErrorCode.Malformed, $"The header {Priority} is '{Shown(values.ToString())}'; expected one of {string.Join(", ", WireJson.Names(typeof(Priority)))}. Send one of them, or leave the header out.", Priority);
    }

    private static string Shown(string value) => value.Length > 60 ? value[..60] + "..." : value;
}
