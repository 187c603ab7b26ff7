namespace InferenceServer.Engine.Tokenization;

/// <summary>Which file counts where tokenizer_config.json and tokenizer.json disagree.</summary>
public enum TokenizerConfigUse
{
    /// <summary>tokenizer.json.</summary>
    Tokenizer,

    /// <summary>tokenizer_config.json, for what the fast tokenizer of its class in transformers 4.57 takes from it.</summary>
    Follow,
}
