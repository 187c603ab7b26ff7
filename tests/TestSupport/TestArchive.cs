using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;

namespace InferenceServer.TestSupport;

/// <summary>A folder of test data as one file: tar in Brotli.</summary>
public static class TestArchive
{
    private const int BestQuality = 11;
    private const int LargestWindow = 24;

    /// <summary>The folder that archives are unpacked into, one for each user of the machine.</summary>
    public static string Cache { get; } = Path.Combine(Path.GetTempPath(), $"inference-server-tests-{Environment.UserName}");

    /// <summary>
    /// The files of a folder that belong in its archive: names with '/', relative to the folder, in ordinal order. All but the corpora, whose texts are under licences
    /// of their own, and the descriptions at the top, which the README beside the archive replaces.
    /// </summary>
    public static IReadOnlyList<string> Files(string folder) =>
    [
        .. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(folder, file).Replace('\\', '/'))
            .Where(name => Path.GetFileName(name) != "corpus.jsonl.gz" && (name.Contains('/') || !name.EndsWith(".md", StringComparison.Ordinal)))
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>Packs <see cref="Files"/> of a folder. The same files give the same bytes: names in order, and neither times nor owners nor modes of this machine.</summary>
    /// <returns>How many files.</returns>
    public static int Create(string folder, string archive)
    {
        var files = Files(folder);
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
        {
            foreach (var name in files)
            {
                using var data = File.OpenRead(Path.Combine(folder, name));
                writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name)
                {
                    DataStream = data,
                    ModificationTime = DateTimeOffset.UnixEpoch,
                    Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead,
                });
            }
        }

        var packed = new byte[BrotliEncoder.GetMaxCompressedLength(checked((int)tar.Length))];
        if (!BrotliEncoder.TryCompress(tar.GetBuffer().AsSpan(0, (int)tar.Length), packed, out var length, BestQuality, LargestWindow))
        {
            throw new InvalidOperationException($"{folder} could not be compressed.");
        }

        File.WriteAllBytes(archive, packed[..length]);
        return files.Count;
    }

    /// <summary>
    /// The folder with an archive's files, below <paramref name="cache"/> (<see cref="Cache"/>), named by the archive's hash: unpacked by the first that asks, of all
    /// threads and processes, and again when files have gone since (systems clean their temporary folder).
    /// </summary>
    public static string Unpack(string archive, string? cache = null)
    {
        var bytes = File.ReadAllBytes(archive);
        var key = $"{Path.GetFileName(archive).Split('.')[0]}-{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}";
        cache = Directory.CreateDirectory(cache ?? Cache).FullName;
        var folder = Path.Combine(cache, key);
        var listing = folder + ".files";

        using var mutex = new Mutex(false, $"inference-server-{key}", new NamedWaitHandleOptions { CurrentUserOnly = true, CurrentSessionOnly = false });
        Enter(mutex);
        try
        {
            if (!IsComplete(folder, listing))
            {
                foreach (var half in Directory.GetDirectories(cache, key + "*"))
                {
                    Directory.Delete(half, recursive: true); // of a process that was stopped, or with files gone
                }

                var unfinished = folder + ".unfinished";
                Directory.CreateDirectory(unfinished);
                using (var tar = new BrotliStream(new MemoryStream(bytes), CompressionMode.Decompress))
                {
                    TarFile.ExtractToDirectory(tar, unfinished, overwriteFiles: false);
                }

                File.WriteAllLines(listing, new DirectoryInfo(unfinished).EnumerateFiles("*", SearchOption.AllDirectories)
                    .Select(file => string.Create(CultureInfo.InvariantCulture, $"{file.Length} {Path.GetRelativePath(unfinished, file.FullName)}")));
                Directory.Move(unfinished, folder);
            }
        }
        finally
        {
            mutex.ReleaseMutex();
        }

        return folder;
    }

    private static void Enter(Mutex mutex)
    {
        try
        {
            mutex.WaitOne();
        }
        catch (AbandonedMutexException)
        {
            // Its owner was stopped; the mutex is ours, and what that process left is looked at below.
        }
    }

    private static bool IsComplete(string folder, string listing) =>
        Directory.Exists(folder) && File.Exists(listing) && File.ReadLines(listing).All(line =>
            line.Split(' ', 2) is [var length, var name] && new FileInfo(Path.Combine(folder, name)) is { Exists: true } file && file.Length == long.Parse(length, CultureInfo.InvariantCulture));
}
