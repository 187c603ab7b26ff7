using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.Detokenize;

/// <summary>Token ids to texts, as the tokenizer's decoder makes them.</summary>
public sealed class DetokenizeTask : ITask<DetokenizeRequest, DetokenizeResult>
{
    private static readonly Argument Ids = Argument.Of(nameof(DetokenizeRequest.Ids));

    /// <inheritdoc/>
    public bool Supports(Model model) => true;

    /// <summary>Decodes every sequence.</summary>
    /// <exception cref="InferenceException">No sequences, or an id outside the vocabulary.</exception>
    public Task<DetokenizeResult> RunAsync(Model model, DetokenizeRequest request, RequestContext context)
    {
        if (request.Ids.Count == 0)
        {
            throw InferenceException.Unprocessable(Ids, $"{Ids} is empty: at least 1 list of token ids is needed.");
        }

        // Some models have more rows in their embedding matrix than their tokenizer has tokens; such ids decode to nothing.
        var vocabulary = Math.Max(model.Tokenizer.VocabularySize, model.Manifest.Config.VocabularySize ?? 0);
        var texts = new string[request.Ids.Count];
        var errors = new List<ArgumentError>();
        for (var i = 0; i < texts.Length && errors.Count < InferenceException.MaxErrors; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            var ids = request.Ids[i];
            var before = errors.Count;
            for (var j = 0; j < ids.Length && errors.Count < InferenceException.MaxErrors; j++)
            {
                if (ids[j] < 0 || (ids[j] >= vocabulary && model.Tokenizer.IdToToken(ids[j]) is null))
                {
                    errors.Add(new ArgumentError(Ids[i][j], $"{Ids[i][j]} is {ids[j]}; token ids of this model go from 0 to {vocabulary - 1}."));
                }
            }

            if (errors.Count > before)
            {
                continue;
            }

            context.AddTokens(ids.Length);
            texts[i] = model.Tokenizer.Decode(ids, request.SkipSpecialTokens);
        }

        return errors.Count == 0 ? Task.FromResult(new DetokenizeResult(texts)) : throw InferenceException.Unprocessable(errors);
    }
}
