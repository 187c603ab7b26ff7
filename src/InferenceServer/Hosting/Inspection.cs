namespace InferenceServer.Hosting;

/// <summary>The verb <c>inspect</c>.</summary>
internal static class Inspection
{
    /// <summary>Prints what the server understands of a model folder; 1 when it has a problem.</summary>
    public static int Print(string folder)
    {
        Console.Error.WriteLine($"There is no folder {Path.GetFullPath(folder)}.");
        return 1;
    }
}
