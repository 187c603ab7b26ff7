namespace InferenceServer.Configuration;

/// <summary>Section <c>Health</c>: where probes are answered besides the server's own addresses.</summary>
internal sealed record Health
{
    /// <summary>An address such as <c>http://*:8081</c> that answers <c>/health/...</c> and nothing else, with connections of its own, so that probes are answered when <c>Limits:MaxConnections</c> are open. Null: none.</summary>
    public string? Url { get; init; }

    /// <summary>What is wrong with the address, with the remedy; null when nothing is.</summary>
    public string? Problem()
    {
        if (string.IsNullOrEmpty(Url))
        {
            return null;
        }

        try
        {
            var address = BindingAddress.Parse(Url);
            if (address.Scheme == Uri.UriSchemeHttp && address.PathBase.Length == 0 && !address.IsUnixPipe && !address.IsNamedPipe)
            {
                return null;
            }
        }
        catch (FormatException)
        {
            // Told below.
        }

        return $"Health:Url is '{Url}', expected one address with http, a host or * and a port. Set it to, for example, http://*:8081, or leave it out: /health/... is then answered at the server's own addresses alone.";
    }
}
