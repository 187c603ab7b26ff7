using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>What an input of a graph is for.</summary>
internal enum InputRole
{
    /// <summary>Token ids <c>[batch, sequence]</c>.</summary>
    InputIds,

    /// <summary>1 for tokens, 0 for padding <c>[batch, past + sequence]</c>.</summary>
    AttentionMask,

    /// <summary>Segments <c>[batch, sequence]</c>.</summary>
    TokenTypeIds,

    /// <summary>0, 1, 2, ... by row <c>[batch, sequence]</c>.</summary>
    PositionIds,

    /// <summary>0, 1, 2, ... for the whole batch <c>[sequence]</c>.</summary>
    CachePosition,

    /// <summary>Keys or values of earlier tokens: none here, so an axis is 0.</summary>
    Past,

    /// <summary>Whether the branch with a cache is taken: no.</summary>
    UseCacheBranch,

    /// <summary>Length of each row less one <c>[batch]</c>.</summary>
    LastPosition,

    /// <summary>Length of the padded batch, one number.</summary>
    TotalLength,

    /// <summary>Every element has a value that was set for the model.</summary>
    Given,

    /// <summary>Length of the past, one number.</summary>
    PastLength,

    /// <summary>How many of the last positions have logits, one number; 0 = all.</summary>
    LogitsToKeep,

    /// <summary>States of the encoder <c>[batch, source, hidden]</c>, of a decoder.</summary>
    EncoderStates,

    /// <summary>1 for tokens of the source, 0 for its padding <c>[batch, source]</c>, of a decoder.</summary>
    EncoderMask,

    /// <summary>Keys or values of the source, of a decoder: computed in its first run.</summary>
    EncoderPast,

    /// <summary>What each head's context is multiplied with <c>[batch, heads of all layers]</c>; only sessions whose heads can be masked have it.</summary>
    HeadMask,
}

/// <summary>An input of a graph with its role, as the graph declares it; bound by name, so the order does not matter.</summary>
/// <param name="Name">Name in the graph.</param>
/// <param name="Role">What it is for.</param>
/// <param name="Type">Element type that it takes.</param>
/// <param name="Shape">Declared shape, -1 where it is dynamic.</param>
/// <param name="Value">What every element is, for <see cref="InputRole.Given"/>.</param>
internal sealed record InputBinding(string Name, InputRole Role, TensorElementType Type, int[] Shape, int Value = 0)
{
    private static readonly Dictionary<string, InputRole> Roles = new(StringComparer.Ordinal)
    {
        ["input_ids"] = InputRole.InputIds,
        ["attention_mask"] = InputRole.AttentionMask,
        ["input_mask"] = InputRole.AttentionMask,
        ["token_type_ids"] = InputRole.TokenTypeIds,
        ["segment_ids"] = InputRole.TokenTypeIds,
        ["position_ids"] = InputRole.PositionIds,
        ["cache_position"] = InputRole.CachePosition,
        ["use_cache_branch"] = InputRole.UseCacheBranch,
        ["seqlens_k"] = InputRole.LastPosition,
        ["total_sequence_length"] = InputRole.TotalLength,
        ["total_seq_len"] = InputRole.TotalLength,
        ["past_sequence_length"] = InputRole.PastLength,
        ["past_seq_len"] = InputRole.PastLength,
        ["num_logits_to_keep"] = InputRole.LogitsToKeep,
        ["logits_to_keep"] = InputRole.LogitsToKeep,
    };

    private static readonly Dictionary<string, InputRole> DecoderRoles = new(StringComparer.Ordinal)
    {
        ["encoder_hidden_states"] = InputRole.EncoderStates,
        ["encoder_attention_mask"] = InputRole.EncoderMask,
        ["decoder_input_ids"] = InputRole.InputIds,
        ["decoder_attention_mask"] = InputRole.AttentionMask,
    };

    /// <summary>Finds the role of every input.</summary>
    /// <param name="file">Name of the file, for messages.</param>
    /// <param name="inputs">The inputs as the runtime sees them.</param>
    /// <param name="config">config.json.</param>
    /// <param name="given">Values that were set for inputs without a known role.</param>
    /// <param name="isDecoder">True for the decoder of an encoder-decoder, which is fed the encoder's states.</param>
    /// <exception cref="ModelLoadException">An input has no known role, or a shape or type that its role cannot have; the message names it and lists the inputs.</exception>
    public static IReadOnlyList<InputBinding> BindAll(string file, IReadOnlyDictionary<string, NodeMetadata> inputs, ModelConfig? config, GivenInputs? given = null, bool isDecoder = false)
    {
        var all = string.Join(", ", inputs.Keys.Take(12)) + (inputs.Count > 12 ? $" and {inputs.Count - 12} more" : "");
        var bindings = new List<InputBinding>(inputs.Count);
        foreach (var (name, node) in inputs)
        {
            if (node.IsTensor && given?.ValueOf(name) is { } value)
            {
                bindings.Add(new InputBinding(name, InputRole.Given, node.ElementDataType, node.Dimensions, value).Checked(file));
                continue;
            }

            if (!node.IsTensor || RoleOf(name, isDecoder) is not { } role)
            {
                throw new ModelLoadException($"{file}: the input '{name}' has no known role (the inputs are {all}). {given?.Remedy(name) ?? "Export the model with the inputs input_ids, attention_mask, token_type_ids, position_ids and past_key_values.*."}");
            }

            var binding = new InputBinding(name, role, node.ElementDataType, node.Dimensions);
            bindings.Add(role is InputRole.Past or InputRole.EncoderPast ? binding with { Shape = binding.PastShape(file, config, isDecoder) } : role == InputRole.EncoderStates ? binding : binding.Checked(file));
        }

        if (given?.Values.Keys.FirstOrDefault(name => !inputs.ContainsKey(name)) is { } absent)
        {
            throw new ModelLoadException($"The setting {given.Setting}:Inputs:{absent} names no input of {file}, which has {all}. Remove it.");
        }

        if (bindings.Count(b => b.Role == InputRole.InputIds) != 1)
        {
            throw new ModelLoadException($"{file}: the graph needs an input 'input_ids' for the token ids; its inputs are {(all.Length == 0 ? "none" : all)}. Export the model for text.");
        }

        return bindings;
    }

    /// <summary>The role of an input by its name; null when none is known.</summary>
    public static InputRole? RoleOf(string name, bool isDecoder = false)
    {
        var colon = name.LastIndexOf(':'); // TensorFlow exports write input_ids:0
        var plain = colon > 0 && name.AsSpan(colon + 1).IndexOfAnyExceptInRange('0', '9') < 0 ? name[..colon] : name;
        if (Roles.TryGetValue(plain, out var role))
        {
            return role;
        }

        if (isDecoder && DecoderRoles.TryGetValue(plain, out role))
        {
            return role;
        }

        // past_key_values.0.key, past_key_0, past_0; those of an encoder (past_key_values.0.encoder.key) need encoder states.
        return !plain.StartsWith("past", StringComparison.Ordinal) || !plain.Any(char.IsAsciiDigit) ? null
            : plain.Contains("decoder", StringComparison.Ordinal) ? isDecoder ? InputRole.Past : null
            : !plain.Contains("encoder", StringComparison.Ordinal) ? InputRole.Past
            : isDecoder ? InputRole.EncoderPast : null;
    }

    private InputBinding Checked(string file)
    {
        var rank = Role switch
        {
            InputRole.Given => int.MaxValue,
            InputRole.InputIds or InputRole.AttentionMask or InputRole.TokenTypeIds or InputRole.PositionIds or InputRole.EncoderMask => 2,
            _ => 1,
        };
        var supported = Type is TensorElementType.Int64 or TensorElementType.Int32
            || (Type is TensorElementType.Float or TensorElementType.Bool && Role is InputRole.AttentionMask or InputRole.EncoderMask or InputRole.Given)
            || (Type is TensorElementType.Bool && Role is InputRole.UseCacheBranch);
        if (!supported)
        {
            throw new ModelLoadException($"{file}: the input '{Name}' takes {Type}, which cannot be fed. Export it with int64.");
        }

        if (Shape.Length > rank || (rank == 2 && Shape.Length == 1))
        {
            throw new ModelLoadException($"{file}: the input '{Name}' has {Shape.Length} axes instead of {rank} ([batch, sequence]). Export it with {rank}.");
        }

        return this;
    }

    // Axis 0 stays dynamic (the batch), the axis of the past becomes 0, heads and head size come from the graph, else from the config.
    private int[] PastShape(string file, ModelConfig? config, bool isDecoder)
    {
        var shape = (int[])Shape.Clone();
        var (batch, past, heads, size) = shape.Length switch
        {
            3 => (0, 1, -1, 2), // one head, keys and values together
            4 => (0, 2, 1, 3),
            5 => (1, 3, 2, 4), // keys and values stacked on axis 0
            _ => throw new ModelLoadException($"{file}: the input '{Name}' has {shape.Length} axes; a past has [batch, heads, past, head size]. Export the model with separate keys and values."),
        };
        if (shape[past] > 0)
        {
            throw new ModelLoadException($"{file}: the input '{Name}' has a past of the fixed length {shape[past]}. Export it with a dynamic past_sequence_length.");
        }

        shape[past] = 0;
        if (batch == 1 && shape[0] < 0)
        {
            shape[0] = 2;
        }

        if (heads > 0 && shape[heads] < 0)
        {
            shape[heads] = (isDecoder ? config?.DecoderHeads : null) ?? config?.KeyValueHeads ?? throw Missing("num_key_value_heads or num_attention_heads");
        }

        if (shape[size] < 0)
        {
            var head = config?.HeadSize ?? throw Missing("head_dim, or hidden_size and num_attention_heads");
            shape[size] = shape.Length == 3 ? 2 * head : head;
        }

        return shape;

        ModelLoadException Missing(string field) =>
            new($"{file}: the shape of the input '{Name}' is not in the graph, and config.json has no {field}. Add it to config.json.");
    }
}
