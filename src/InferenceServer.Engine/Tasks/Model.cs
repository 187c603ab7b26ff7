using System.Diagnostics.CodeAnalysis;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Generation.ChatTemplates;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>What tasks run on: a ready model, immutable. What depends on it alone is computed once, into <see cref="Capabilities"/>.</summary>
public sealed record Model
{
    private ModelCapabilities? capabilities;

    /// <summary>A model.</summary>
    public Model()
    {
    }

    // A changed copy has capabilities of its own.
    [SetsRequiredMembers]
    private Model(Model original)
    {
        Manifest = original.Manifest;
        Graph = original.Graph;
        Tokenizer = original.Tokenizer;
        Executor = original.Executor;
        MaxTokens = original.MaxTokens;
        MaxTokensSource = original.MaxTokensSource;
        Settings = original.Settings;
        Sha256 = original.Sha256;
        Generator = original.Generator;
        CanGenerate = original.CanGenerate;
        NoGenerator = original.NoGenerator;
        ChatTemplate = original.ChatTemplate;
        NoChatTemplate = original.NoChatTemplate;
    }

    /// <summary>What the folder says.</summary>
    public required ModelManifest Manifest { get; init; }

    /// <summary>What the graph says (the encoder's, for an encoder-decoder).</summary>
    public required GraphSummary Graph { get; init; }

    /// <summary>The tokenizer.</summary>
    public required Tokenizer Tokenizer { get; init; }

    /// <summary>The way to the graph.</summary>
    public required IGraphExecutor Executor { get; init; }

    /// <summary>Most tokens of one sequence, special tokens included.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>What <see cref="MaxTokens"/> comes from, for people: a file with its field, a setting, or the graph.</summary>
    public string MaxTokensSource { get; init; } = "its files";

    /// <summary>What a person set for the model.</summary>
    public ModelSettings Settings { get; init; } = ModelSettings.None;

    /// <summary>SHA-256 of the ONNX file, lower-case hex (provenance), computed once in the background; empty when the file cannot be read any more.</summary>
    public required Lazy<Task<string>> Sha256 { get; init; }

    /// <summary>What text is generated with; null when the model generates none, or is only looked at.</summary>
    public Generator? Generator { get; init; }

    /// <summary>What the decoder's graph of an encoder-decoder says of itself; null where there is none beside <see cref="Graph"/>.</summary>
    public GraphSummary? DecoderGraph { get; init; }

    /// <summary>SHA-256 of the decoder's file, as <see cref="Sha256"/>; null without one.</summary>
    public Lazy<Task<string>>? DecoderSha256 { get; init; }

    /// <summary>Whether text can be generated, here or where the folder is served.</summary>
    public bool CanGenerate { get; init; }

    /// <summary>Why a language model generates no text, with the remedy, in sentences; null where that needs no reason.</summary>
    public string? NoGenerator { get; init; }

    /// <summary>What conversations are rendered by; null when the folder has none that can be used.</summary>
    public ChatTemplate? ChatTemplate { get; init; }

    /// <summary>Why the folder's chat template cannot be used, in a sentence; null where there is none, or it can.</summary>
    public string? NoChatTemplate { get; init; }

    /// <summary>What the model can do, and how.</summary>
    public ModelCapabilities Capabilities => LazyInitializer.EnsureInitialized(ref capabilities, () => new ModelCapabilities(this));
}
