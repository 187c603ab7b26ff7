namespace InferenceServer.Engine.Tokenization.Folders;

/// <summary>
/// What a fast tokenizer class of transformers 4.57 changes in the tokenizer.json that it loads, and the special tokens that it has when no file names them.
/// Every other class takes tokenizer.json as it is (but for <c>add_prefix_space</c> of a ByteLevel, which all of them set).
/// </summary>
internal sealed record TokenizerFamily
{
    private static readonly string[] Berts =
    [
        "Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "Funnel", "LayoutLM", "Lxmert", "RetriBert", "SqueezeBert", "Realm", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader",
    ];

    private static readonly string[] BertTypes =
    [
        "bert", "distilbert", "electra", "mobilebert", "convbert", "funnel", "layoutlm", "lxmert", "retribert", "squeezebert", "realm", "dpr", "visual_bert", "megatron-bert", "qdqbert", "ernie",
    ];

    private static readonly string[] Robertas = ["Roberta", "Bart", "Longformer", "LED", "Mvp", "Blenderbot", "LayoutLMv3"];

    private static readonly string[] RobertaTypes = ["roberta", "roberta-prelayernorm", "bart", "longformer", "led", "mvp", "blenderbot", "data2vec-text"];

    private static readonly Dictionary<string, string> BertRoles = Named(unk: "[UNK]", sep: "[SEP]", pad: "[PAD]", cls: "[CLS]", mask: "[MASK]");

    private static readonly Dictionary<string, string> RobertaRoles = Named("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>");

    private static readonly Dictionary<string, TokenizerFamily> Families = All();

    /// <summary>The default of <c>do_lower_case</c> where the class sets the fields of a BertNormalizer; null where it leaves the normalizer alone.</summary>
    public bool? LowerCase { get; init; }

    /// <summary>Whether the class also sets the BertNormalizer's <c>handle_chinese_chars</c>.</summary>
    public bool SetsChineseCharacters { get; init; }

    /// <summary>Whether the class sets <c>trim_offsets</c> (true when no file says otherwise) and <c>add_prefix_space</c> of the post-processor.</summary>
    public bool SetsOffsets { get; init; }

    /// <summary>Whether the class replaces the post-processor by one of <c>add_bos_token</c> and <c>add_eos_token</c>.</summary>
    public bool SetsEnds { get; init; }

    /// <summary>The default of <c>add_bos_token</c>; that of <c>add_eos_token</c> is false.</summary>
    public bool AddsBegin { get; init; }

    /// <summary>Whether <c>add_prefix_space</c> makes the class convert the SentencePiece model anew instead of reading tokenizer.json.</summary>
    public bool ConvertsAnew { get; init; }

    /// <summary>Roles and special tokens when no file names them.</summary>
    public IReadOnlyDictionary<string, string> Roles { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether a mask token that a file names as a mere text takes the spaces before it.</summary>
    public bool MaskStripsLeft { get; init; }

    /// <summary>The family of a class without <c>Fast</c>, or of <c>model_type</c> and a type; null for a class that changes nothing.</summary>
    public static TokenizerFamily? Of(string? name) => name is null ? null : Families.GetValueOrDefault(name);

    private static Dictionary<string, TokenizerFamily> All()
    {
        var all = new Dictionary<string, TokenizerFamily>(StringComparer.Ordinal);
        var bert = new TokenizerFamily { LowerCase = true, SetsChineseCharacters = true, Roles = BertRoles };
        var roberta = new TokenizerFamily { SetsOffsets = true, Roles = RobertaRoles, MaskStripsLeft = true };
        var sentencePiece = new TokenizerFamily { Roles = RobertaRoles, MaskStripsLeft = true };
        var endOfText = new TokenizerFamily { Roles = Named(bos: "<|endoftext|>", eos: "<|endoftext|>", unk: "<|endoftext|>") };
        var llama = new TokenizerFamily { SetsEnds = true, AddsBegin = true, ConvertsAnew = true, Roles = Named(bos: "<s>", eos: "</s>", unk: "<unk>") };
        Add(bert, Berts, BertTypes);
        Add(bert with { SetsChineseCharacters = false }, ["Splinter"], ["splinter"]);
        Add(bert with { SetsChineseCharacters = false, Roles = Named("<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"), MaskStripsLeft = true }, ["MPNet"], ["mpnet"]);
        Add(roberta, Robertas, RobertaTypes);
        Add(sentencePiece, ["XLMRoberta", "Camembert"], ["xlm-roberta", "xlm-roberta-xl", "camembert"]);
        Add(sentencePiece with { Roles = Named("[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]") }, ["Albert"], ["albert", "nystromformer"]);
        Add(endOfText, ["GPT2", "CodeGen"], ["gpt2", "gpt_neo", "gptj", "opt", "codegen", "phi"]);
        Add(endOfText with { SetsEnds = true }, ["GPTNeoX"], ["gpt_neox", "stablelm", "olmo", "mpt"]);
        Add(llama, ["Llama"], ["llama", "mistral", "mixtral", "phi3"]);
        Add(llama with { ConvertsAnew = false }, ["CodeLlama"], ["code_llama"]);
        Add(llama with { ConvertsAnew = false, Roles = Named(bos: "<bos>", eos: "<eos>", unk: "<unk>", pad: "<pad>") }, ["Gemma"], ["gemma", "gemma2", "gemma3", "gemma3_text"]);
        Add(llama with { ConvertsAnew = false, Roles = Named(bos: "<BOS_TOKEN>", eos: "<|END_OF_TURN_TOKEN|>", unk: "<UNK>") }, ["Cohere"], ["cohere", "cohere2"]);
        Add(new TokenizerFamily { ConvertsAnew = true, Roles = Named(eos: "</s>", unk: "<unk>", pad: "<pad>") }, ["T5"], ["t5", "mt5", "umt5", "longt5", "switch_transformers"]);
        return all;

        void Add(TokenizerFamily family, string[] classes, string[] types)
        {
            foreach (var name in classes)
            {
                all.Add(name + "Tokenizer", family);
            }

            foreach (var type in types)
            {
                all.Add(OlderFiles.FolderSettings.ByModelType + type, family);
            }
        }
    }

    private static Dictionary<string, string> Named(
        string? bos = null, string? eos = null, string? unk = null, string? sep = null, string? pad = null, string? cls = null, string? mask = null)
    {
        (string Role, string? Token)[] roles = [("bos_token", bos), ("eos_token", eos), ("unk_token", unk), ("sep_token", sep), ("pad_token", pad), ("cls_token", cls), ("mask_token", mask)];
        return roles.Where(static r => r.Token is not null).ToDictionary(static r => r.Role, static r => r.Token!);
    }
}
