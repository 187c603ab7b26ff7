using System.Net;

namespace InferenceServer.Hosting;

/// <summary>Who can reach an address, and by which names.</summary>
internal static class HostNames
{
    /// <summary>The warning of a server that other machines can reach and that answers whatever host a request names; null when there is nothing to warn of.</summary>
    /// <param name="addresses">What the server listens on.</param>
    /// <param name="allowsAny">Whether <c>AllowedHosts</c> is unset or holds <c>*</c>.</param>
    public static string? Warning(IEnumerable<string> addresses, bool allowsAny)
    {
        var open = allowsAny ? addresses.Where(IsBeyondLoopback).ToList() : [];
        return open.Count == 0 ? null
            : $"The server listens on {string.Join(", ", open)}, which other machines may reach, and AllowedHosts is not set: it answers requests for any host name, also for a name that a foreign web page has pointed at it. Set AllowedHosts to the names that clients use, separated by ';', for example AllowedHosts=inference.example.com;localhost.";
    }

    /// <summary>True unless the address is of this machine alone: loopback, or a socket in the file system.</summary>
    internal static bool IsBeyondLoopback(string address)
    {
        var binding = BindingAddress.Parse(address);
        var isLocal = binding.IsUnixPipe || binding.IsNamedPipe
            || binding.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(binding.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
        return !isLocal;
    }
}
