namespace InferenceServer.TestSupport;

/// <summary>
/// What tests compare with. The zoo and the goldens are archives of the repository, unpacked once; the real models and the corpora are not part of it and lie in the
/// folder <c>../shared</c> beside the checkout (<c>INFERENCE_SHARED</c> names another). A test that asks for what is absent is skipped with the reason.
/// </summary>
public static class TestData
{
    private static readonly Lazy<string> ZooFolder = new(() => TestArchive.Unpack(ZooArchive));
    private static readonly Lazy<string> GoldensFolder = new(() => TestArchive.Unpack(GoldensArchive));

    /// <summary>tests/zoo: the models in one file.</summary>
    public static string ZooArchive => Path.Combine(Repository.Root, "tests", "zoo", "zoo.tar.br");

    /// <summary>tests/goldens: the reference's answers in one file.</summary>
    public static string GoldensArchive => Path.Combine(Repository.Root, "tests", "goldens", "goldens.tar.br");

    /// <summary>Small ONNX models, each a folder with expected.json and expected.safetensors (tests/zoo/README.md).</summary>
    public static string Zoo => ZooFolder.Value;

    /// <summary>What the reference's tokenizers, normalizers and chat templates answer (tests/goldens/README.md).</summary>
    public static string Goldens => GoldensFolder.Value;

    /// <summary>The folder beside the checkout, or null when this machine does not have it.</summary>
    public static string? Beside { get; } = FindBeside();

    /// <summary>The folder of the real models; skips the running test when it is absent.</summary>
    public static string Models
    {
        get
        {
            Assert.SkipUnless(HasModels, Absent("The real models (all-MiniLM-L6-v2, SmolLM2-135M-Instruct)", "models"));
            return Path.Combine(Beside!, "models");
        }
    }

    /// <summary>Whether the real models are there.</summary>
    public static bool HasModels => Beside is not null && Directory.Exists(Path.Combine(Beside, "models"));

    /// <summary>Whether the corpora are there.</summary>
    public static bool HasCorpora => Beside is not null && Directory.Exists(Path.Combine(Beside, "goldens", "tokenizers"));

    /// <summary>The corpus of a tokenizer of the goldens, JSON Lines in gzip, one <c>{"text", "ids"}</c> a line; skips the running test when the corpora are absent.</summary>
    public static string Corpus(string tokenizer)
    {
        Assert.SkipUnless(HasCorpora, Absent("The corpora", "goldens"));
        return Path.Combine(Beside!, "goldens", "tokenizers", tokenizer, "corpus.jsonl.gz");
    }

    /// <summary>The folder of a model by kind and name: <c>zoo/NAME</c>, <c>demo-models/NAME</c> (those that ship) or <c>models/NAME</c> (the real ones; skips when absent).</summary>
    public static string ModelFolder(string name) => name.Split('/') switch
    {
        ["zoo", var model] => Path.Combine(Zoo, model),
        ["demo-models", var model] => Path.Combine(Repository.Models, model),
        ["models", var model] => Path.Combine(Models, model),
        _ => throw new ArgumentException($"'{name}' is not zoo/NAME, demo-models/NAME or models/NAME."),
    };

    private static string Absent(string what, string folder) =>
        $"{what} are absent: they are not part of the repository and there is no ../shared/{folder} beside it (INFERENCE_SHARED names another folder for ../shared)";

    private static string? FindBeside()
    {
        var path = Environment.GetEnvironmentVariable("INFERENCE_SHARED") is { Length: > 0 } named ? named : Path.Combine(Repository.Root, "..", "shared");
        return Directory.Exists(path) ? Path.GetFullPath(path) : null;
    }
}
