namespace InferenceServer.Http.Native;

/// <summary>What two sendings of the same request have in common, without reading the body: its path, its length, and what of the body has arrived already.</summary>
internal static class RequestFingerprint
{
    private const int MostBytes = 4096;

    /// <summary>The fingerprint, or null when nothing of the body is there (its sender may be waiting for a 100 Continue).</summary>
    public static ulong? Of(HttpRequest request)
    {
        if (request.ContentLength is 0 || request.Headers.ContainsKey("expect"))
        {
            return null;
        }

        JsonBody<object>.LiftLimit(request.HttpContext);
        if (!request.BodyReader.TryRead(out var read))
        {
            return null;
        }

        var hash = default(HashCode);
        hash.Add(request.Path.Value, StringComparer.Ordinal);
        var left = MostBytes;
        foreach (var segment in read.Buffer)
        {
            var part = segment.Span[..Math.Min(left, segment.Length)];
            hash.AddBytes(part);
            left -= part.Length;
            if (left == 0)
            {
                break;
            }
        }

        var empty = read.Buffer.IsEmpty;
        request.BodyReader.AdvanceTo(read.Buffer.Start); // nothing was consumed, and what is there is read again
        return empty ? null : ((ulong)(uint)hash.ToHashCode() << 32) | (uint)(request.ContentLength ?? 0);
    }
}
